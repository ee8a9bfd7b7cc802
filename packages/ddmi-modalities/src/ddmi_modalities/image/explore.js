// Two windows on one place: the function read out exactly there, and its native pixels enlarged bicubically.
ddmi.views.image = class {
  constructor(place, source, facts) {
    this.source = source;
    this.facts = facts;
    this.deepest = source.live ? facts.deepest : facts.ahead;
    this.middle = [0.5, 0.5];
    this.across = 1; // how much of the picture's side a window shows
    const pair = ddmi.add(place, "div", { className: "pair" });
    this.windows = [
      ["tile", "read out here"],
      ["enlarged", `${facts.native} x ${facts.native} pixels, enlarged bicubically`],
    ].map(([question, title]) => {
      const figure = ddmi.add(pair, "figure");
      const canvas = ddmi.add(figure, "canvas", { width: 512, height: 512, tabIndex: 0, title: "drag, wheel, + and -" });
      const caption = ddmi.add(figure, "figcaption", { textContent: title });
      this.listen(canvas);
      return { question, canvas, caption, title, tiles: new Map() };
    });
  }

  listen(canvas) {
    let held = null;
    canvas.addEventListener("pointerdown", (event) => {
      held = [event.offsetX, event.offsetY];
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!held) return;
      const scale = this.across / canvas.clientWidth;
      this.go(this.middle[0] - (event.offsetX - held[0]) * scale, this.middle[1] - (event.offsetY - held[1]) * scale);
      held = [event.offsetX, event.offsetY];
    });
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => (held = null));
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      const at = [event.offsetX, event.offsetY].map((pixels) => pixels / canvas.clientWidth - 0.5);
      this.zoom(Math.exp(Math.min(Math.max(event.deltaY, -100), 100) * 0.004), at);
    });
    canvas.addEventListener("dblclick", (event) => {
      this.zoom(0.5, [event.offsetX, event.offsetY].map((pixels) => pixels / canvas.clientWidth - 0.5));
    });
    canvas.addEventListener("keydown", (event) => {
      const step = this.across / 8;
      const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
      if (event.key === "+" || event.key === "=") this.zoom(0.5, [0, 0]);
      else if (event.key === "-") this.zoom(2, [0, 0]);
      else if (moves[event.key]) this.go(this.middle[0] + moves[event.key][0], this.middle[1] + moves[event.key][1]);
      else return;
      event.preventDefault();
    });
  }

  zoom(factor, [x, y]) {
    // a tile's pixel is shown at most twice as large as it is
    const least = 512 / (2 * this.facts.tile * 2 ** this.deepest);
    const across = Math.min(1, Math.max(least, this.across * factor));
    const [fixedX, fixedY] = [this.middle[0] + x * this.across, this.middle[1] + y * this.across];
    this.across = across;
    this.go(fixedX - x * across, fixedY - y * across);
  }

  go(x, y) {
    const most = 1 - this.across / 2;
    this.middle = [x, y].map((at) => Math.min(most, Math.max(this.across / 2, at)));
    this.draw();
    clearTimeout(this.soon);
    this.soon = setTimeout(() => this.ask(), 60); // of a gesture only the places where it rests are read
  }

  show() {
    for (const window of this.windows) window.tiles.clear();
    this.turn = (this.turn || 0) + 1;
    this.ask();
  }

  depth() {
    return Math.min(this.deepest, Math.max(0, Math.ceil(Math.log2(512 / this.facts.tile / this.across) - 0.01)));
  }

  seen(z) {
    const [n, places] = [2 ** z, []];
    const [first, last] = [-0.5, 0.5].map((side) => this.middle.map((at) => (at + side * this.across) * n));
    for (let y = Math.max(0, Math.floor(first[1])); y < Math.min(n, Math.ceil(last[1] - 1e-9)); y++)
      for (let x = Math.max(0, Math.floor(first[0])); x < Math.min(n, Math.ceil(last[0] - 1e-9)); x++)
        places.push({ z, x, y });
    return places;
  }

  async ask() {
    const [z, turn] = [this.depth(), this.turn];
    this.asking?.abort();
    this.asking = new AbortController();
    const { signal } = this.asking;
    for (const place of z > 0 ? [{ z: 0, x: 0, y: 0 }, ...this.seen(z)] : this.seen(z))
      for (const window of this.windows) {
        const key = `${place.z}/${place.x}/${place.y}`;
        if (window.tiles.has(key)) continue;
        const image = await this.source.image(window.question, place, { signal });
        if (signal.aborted || turn !== this.turn) return;
        if (!image) continue;
        if (window.tiles.size > 300) window.tiles.delete(window.tiles.keys().next().value);
        URL.revokeObjectURL(image.src); // it is decoded
        window.tiles.set(key, image);
        this.draw();
      }
    this.draw();
  }

  draw() {
    const pixels = this.facts.tile * 2 ** this.depth();
    for (const { canvas, tiles, caption, title, question } of this.windows) {
      const context = canvas.getContext("2d");
      context.fillStyle = "#eee";
      context.fillRect(0, 0, canvas.width, canvas.height);
      const coarseFirst = [...tiles.entries()].sort(([a], [b]) => parseInt(a) - parseInt(b));
      for (const [key, image] of coarseFirst) {
        const [z, x, y] = key.split("/").map(Number);
        if (z > this.depth()) continue;
        const side = canvas.width / this.across / 2 ** z;
        const at = [x, y].map((n, axis) => n * side - (this.middle[axis] / this.across - 0.5) * canvas.width);
        if (at.some((left) => left > canvas.width || left + side < 0)) continue;
        context.drawImage(image, at[0], at[1], side, side);
      }
      const whole = question === "tile" ? `, of a picture of ${pixels} x ${pixels}` : "";
      caption.textContent = `${ddmi.number(1 / this.across)} x: ${title}${whole}`;
    }
  }

  close() {
    clearTimeout(this.soon);
    this.asking?.abort();
  }
};
