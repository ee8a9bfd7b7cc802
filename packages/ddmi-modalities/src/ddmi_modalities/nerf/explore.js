// Orbit: coarse pictures while it turns, a fine one when it is still.
ddmi.views.nerf = class {
  constructor(place, source, facts) {
    this.source = source;
    this.facts = facts;
    [this.azimuth, this.elevation, this.distance] = [45, facts.elevation, facts.distance];
    const pair = ddmi.add(place, "div", { className: "pair" });
    const figure = ddmi.add(pair, "figure");
    this.picture = ddmi.add(figure, "img", { className: "look", alt: "the scene", draggable: false, tabIndex: 0 });
    this.caption = ddmi.add(figure, "figcaption");
    this.listen(this.picture);
    if (!source.live) return;
    const tools = ddmi.add(place, "div", { className: "tools" });
    this.fine = ddmi.choice(tools, "pixels when still", ["192", "128", "256", "512"], () => this.show());
    this.depth = ddmi.flag(tools, "depth", () => this.show());
    ddmi.button(tools, "surface as a mesh", () => this.mesh());
    this.pair = pair;
  }

  listen(picture) {
    let held = null;
    picture.addEventListener("pointerdown", (event) => {
      held = [event.clientX, event.clientY];
      picture.setPointerCapture(event.pointerId);
    });
    picture.addEventListener("pointermove", (event) => {
      if (!held) return;
      this.turn((held[0] - event.clientX) * 0.6, (event.clientY - held[1]) * 0.4);
      held = [event.clientX, event.clientY];
    });
    for (const end of ["pointerup", "pointercancel"]) picture.addEventListener(end, () => (held = null));
    picture.addEventListener("wheel", (event) => {
      event.preventDefault();
      if (!this.source.live) return;
      this.distance = Math.min(12, Math.max(3, this.distance * Math.exp(event.deltaY * 0.001)));
      this.look();
    });
    picture.addEventListener("keydown", (event) => {
      const moves = { ArrowLeft: [-30, 0], ArrowRight: [30, 0], ArrowUp: [0, 15], ArrowDown: [0, -15] };
      if (!moves[event.key]) return;
      event.preventDefault();
      this.turn(...moves[event.key]);
    });
  }

  turn(right, up) {
    this.azimuth = (this.azimuth + right + 360) % 360;
    if (this.source.live) this.elevation = Math.min(85, Math.max(-30, this.elevation + up));
    this.look();
  }

  show() {
    if (this.solid) this.mesh();
    return this.look();
  }

  async look() {
    this.asking?.abort();
    this.asking = new AbortController();
    const { signal } = this.asking;
    for (const params of this.steps()) {
      const image = await this.source.image("look", params, { signal });
      if (!image || signal.aborted) return;
      ddmi.put(this.picture, image);
      const where = `${params.azimuth} degrees round, ${params.elevation ?? this.elevation} up`;
      this.caption.textContent = `${params.size} x ${params.size} pixels, ${where}; drag turns`;
    }
  }

  steps() {
    if (!this.source.live) {
      const step = 360 / this.facts.ahead;
      return [{ azimuth: (Math.round(this.azimuth / step) * step) % 360, size: 96 }];
    }
    const [azimuth, elevation] = [Math.round(this.azimuth), Math.round(this.elevation)];
    const where = { azimuth, elevation, distance: Math.round(this.distance * 10) / 10, depth: this.depth.checked };
    return [{ ...where, size: 48, samples: 48 }, { ...where, size: Number(this.fine.value) }];
  }

  async mesh() {
    if (!this.solid) {
      const figure = ddmi.add(this.pair, "figure");
      this.solid = new ddmi.Solid(figure);
      this.solidCaption = ddmi.add(figure, "figcaption");
    }
    this.extracting?.abort();
    this.extracting = new AbortController();
    const { signal } = this.extracting;
    this.solidCaption.textContent = "extracting ...";
    const mesh = await this.source.bytes("mesh", { cells: 128 }, { signal });
    if (signal.aborted) return;
    const faces = mesh && (await this.solid.put(mesh));
    this.solidCaption.textContent = faces === null ? "" : `${faces} triangles, coloured as seen from straight above each`;
  }

  close() {
    this.asking?.abort();
    this.extracting?.abort();
    this.solid?.close();
  }
};
