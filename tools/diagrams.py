"""Draws the diagrams of docs/concepts.md: `python tools/diagrams.py` writes docs/images/concept-*.svg."""

from __future__ import annotations

from pathlib import Path

OUT = Path(__file__).resolve().parent.parent / "docs" / "images"
INK, PAPER, LINE = "#22303c", "#ffffff", "#8a97a3"
BLUE, ORANGE, GREEN, GREY, PINK = "#d3e6f5", "#fbe3bf", "#cfeadd", "#edf0f2", "#f3dbe8"


class Drawing:
    """Shapes in the order in which they are drawn; the origin is the upper left corner."""

    def __init__(self, width: int, height: int, title: str) -> None:
        self.head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
            f'font-family="Helvetica, Arial, sans-serif" font-size="14" fill="{INK}">\n<title>{title}</title>\n'
            '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" '
            f'orient="auto"><path d="M0 0 L8 4 L0 8 z" fill="{INK}"/></marker></defs>\n'
            f'<rect width="{width}" height="{height}" rx="6" fill="{PAPER}"/>'
        )
        self.parts: list[str] = []

    def box(self, x: float, y: float, width: float, height: float, text: str, fill: str = GREY) -> None:
        """A rounded box with lines of text in its middle."""
        self.parts.append(
            f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="5" fill="{fill}" stroke="{LINE}"/>'
        )
        self.text(x + width / 2, y + height / 2, text)

    def text(
        self, x: float, y: float, text: str, *, size: int = 14, anchor: str = "middle", bold: bool = False
    ) -> None:
        """Lines, centred vertically at y."""
        lines = text.split("\n")
        weight = ' font-weight="bold"' if bold else ""
        for i, line in enumerate(lines):
            at = y + (i - (len(lines) - 1) / 2) * size * 1.25 + size * 0.35
            self.parts.append(
                f'<text x="{x}" y="{at:.1f}" font-size="{size}" text-anchor="{anchor}"{weight}>{line}</text>'
            )

    def arrow(self, *points: tuple[float, float], dashed: bool = False) -> None:
        """A line through points, with a tip at the last."""
        path = " ".join(f"{x},{y}" for x, y in points)
        dash = ' stroke-dasharray="5 4"' if dashed else ""
        self.parts.append(
            f'<polyline points="{path}" fill="none" stroke="{INK}" stroke-width="1.3"{dash} marker-end="url(#tip)"/>'
        )

    def grid(self, x: float, y: float, side: float, cells: int, fill: str) -> None:
        """A square of cells."""
        self.parts.append(f'<rect x="{x}" y="{y}" width="{side}" height="{side}" fill="{fill}" stroke="{LINE}"/>')
        for i in range(1, cells):
            at = side * i / cells
            self.parts.append(
                f'<path d="M{x + at:.1f} {y} v{side} M{x} {y + at:.1f} h{side}" stroke="{LINE}" stroke-width="0.6"/>'
            )

    def dot(self, x: float, y: float, radius: float = 4, fill: str = INK) -> None:
        self.parts.append(f'<circle cx="{x}" cy="{y}" r="{radius}" fill="{fill}" stroke="{INK}"/>')

    def line(self, x: float, y: float, to_x: float, to_y: float) -> None:
        self.parts.append(f'<path d="M{x} {y} L{to_x} {to_y}" stroke="{INK}" stroke-dasharray="3 3"/>')

    def svg(self) -> str:
        return "\n".join([self.head, *self.parts, "</svg>\n"])


def method() -> Drawing:
    """From data to a function and back to any grid; diffusion in the middle."""
    d = Drawing(900, 330, "The method: an autoencoder from data to functions, and diffusion over its latent planes")
    d.text(16, 22, "stage 1: discrete data to a continuous function", anchor="start", bold=True)
    d.box(16, 70, 90, 60, "data x\npixels, points\nor frames", GREY)
    d.arrow((106, 100), (138, 100))
    d.box(140, 75, 84, 50, "encoder", BLUE)
    d.arrow((224, 100), (256, 100))
    d.grid(260, 72, 56, 4, ORANGE)
    d.text(288, 146, "latent planes z")
    d.arrow((316, 100), (348, 100))
    d.box(350, 75, 84, 50, "decoder", BLUE)
    for i, (side, cells) in enumerate(((30, 3), (48, 6), (72, 12))):
        x, y = (470, 500, 548)[i], 100 - side / 2
        d.grid(x + i * 8, y, side, cells, GREEN)
    d.arrow((434, 100), (466, 100))
    d.text(552, 154, "basis fields, coarse to fine")
    d.arrow((638, 100), (668, 100))
    d.box(670, 75, 84, 50, "read-out\n(MLP)", BLUE)
    d.arrow((754, 100), (786, 100))
    d.box(788, 70, 96, 60, "value w(c)\ncolour, inside,\ndensity", GREY)
    d.text(712, 40, "coordinate c, any")
    d.arrow((712, 50), (712, 73))
    d.arrow((655, 40), (576, 40), (576, 60))
    d.text(16, 210, "stage 2: what latents are likely", anchor="start", bold=True)
    d.grid(30, 236, 56, 4, GREY)
    d.text(58, 308, "noise")
    d.arrow((90, 264), (138, 264))
    d.box(140, 239, 84, 50, "denoiser", PINK)
    d.arrow((196, 239), (196, 226), (168, 226), (168, 237))
    d.text(236, 230, "20 times", size=12)
    d.arrow((224, 264), (288, 264), (288, 156))
    d.box(340, 239, 214, 50, "a sentence (text recipes):\ncross-attention", GREY)
    d.arrow((340, 278), (226, 278), dashed=True)
    return d


def weights() -> Drawing:
    """What is generated: a network's weights, or its positional embedding."""
    d = Drawing(900, 230, "Generated weights with a fixed positional embedding, and generated positional embeddings")
    for y, name, embedding, network in (
        (20, "others: generated weights", False, True),
        (130, "DDMI: a generated embedding", True, False),
    ):
        d.text(16, y + 10, name, anchor="start", bold=True)
        d.box(16, y + 32, 110, 44, "coordinate c", GREY)
        d.arrow((126, y + 54), (176, y + 54))
        d.box(
            178,
            y + 32,
            210,
            44,
            "basis fields, looked up at c" if embedding else "sines and cosines of c",
            GREEN if embedding else GREY,
        )
        d.arrow((388, y + 54), (438, y + 54))
        d.box(
            440,
            y + 32,
            200,
            44,
            "MLP, its weights generated" if network else "MLP, one for all samples",
            GREEN if network else BLUE,
        )
        d.arrow((640, y + 54), (690, y + 54))
        d.box(692, y + 32, 90, 44, "value", GREY)
    d.text(884, 75, "green: made\nfor each\nsample", anchor="end", size=12)
    return d


def look_up() -> Drawing:
    """A point between four basis vectors; its projections onto three planes."""
    d = Drawing(900, 270, "Looking up a positional embedding: bilinear on one plane, and by projection on three")
    d.text(16, 22, "one plane: images", anchor="start", bold=True)
    d.grid(40, 46, 180, 6, GREEN)
    for x, y in ((115, 121), (145, 121), (115, 151), (145, 151)):
        d.line(x, y, 134, 132)
        d.dot(x, y, 5, ORANGE)
    d.dot(134, 132)
    d.text(
        236,
        120,
        "the four nearest vectors,\nat the centres of their\ncells, weighted by\nhow near they are",
        anchor="start",
        size=13,
    )
    d.text(130, 248, "x to the right, y down, both in [-1, 1]", size=12)
    d.text(430, 22, "three planes: shapes, scenes, videos", anchor="start", bold=True)
    names = (("xy", 430), ("yz", 560), ("xz", 690))
    d.dot(560, 60)
    d.text(574, 60, "c = (x, y, z)", anchor="start")
    for name, x in names:
        d.grid(x, 120, 90, 5, GREEN)
        d.line(560, 64, x + 40, 158)
        d.dot(x + 40, 160)
        d.text(x + 45, 226, f"plane {name}")
    d.text(800, 165, "summed, or\nside by side", anchor="start", size=13)
    return d


def read_outs() -> Drawing:
    """One scale, all scales at the input, and coarse to fine."""
    d = Drawing(900, 300, "Three read-outs: one scale, all scales at once, coarse to fine")
    columns = ((30, "PE"), (300, "PE + HDBF"), (570, "PE + HDBF + CFC"))
    for x, name in columns:
        d.text(x, 24, name, anchor="start", bold=True)
    d.grid(40, 190, 60, 8, GREEN)
    d.text(70, 268, "one scale")
    d.arrow((70, 188), (70, 132))
    d.box(30, 60, 90, 70, "MLP", BLUE)
    d.arrow((120, 95), (160, 95))
    d.text(184, 95, "value")
    for i, (side, cells) in enumerate(((34, 3), (48, 6), (62, 12))):
        x = 300 + i * 66
        d.grid(x, 250 - side, side, cells, GREEN)
        d.arrow((x + side / 2, 248 - side), (345 + i * 12, 132))
    d.text(394, 268, "three scales, side by side")
    d.box(310, 60, 110, 70, "MLP", BLUE)
    d.arrow((420, 95), (460, 95))
    d.text(484, 95, "value")
    for i, (side, cells) in enumerate(((34, 3), (48, 6), (62, 12))):
        x = 570 + i * 78
        d.grid(x, 250 - side, side, cells, GREEN)
        d.box(x - 4, 75, 62, 40, f"block {i + 1}", BLUE)
        d.arrow((x + side / 2, 248 - side), (x + 27, 117))
        d.arrow((x + 58, 95), (x + 73, 95))
    d.box(804, 75, 42, 40, "last", BLUE)
    d.arrow((846, 95), (862, 95))
    d.text(880, 95, "w(c)", size=13)
    d.text(675, 268, "coarse enters first, fine last")
    return d


DIAGRAMS = {"method": method, "weights": weights, "look-up": look_up, "read-outs": read_outs}


def main() -> None:
    for name, draw in DIAGRAMS.items():
        (OUT / f"concept-{name}.svg").write_text(draw().svg(), encoding="utf-8")


if __name__ == "__main__":
    main()
