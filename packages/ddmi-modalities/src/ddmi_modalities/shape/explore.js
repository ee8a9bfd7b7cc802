// The mesh at once in few cells, then in as many as the slider says; beside it a slice of the field.
ddmi.views.shape = class {
  constructor(place, source, facts) {
    this.source = source;
    this.facts = facts;
    const pair = ddmi.add(place, "div", { className: "pair" });
    const figure = ddmi.add(pair, "figure");
    this.scene = new ddmi.Solid(figure);
    this.caption = ddmi.add(figure, "figcaption");
    this.cells = facts.ahead;
    if (!source.live) return;
    const tools = ddmi.add(place, "div", { className: "tools" });
    const powers = { min: 4, max: Math.log2(facts.finest), step: 1, value: Math.log2(this.cells) };
    const set = (power) => {
      this.cells = 2 ** power;
      this.show();
    };
    ddmi.slider(tools, "cells a side", powers, set, (power) => String(2 ** power));
    const beside = ddmi.add(pair, "figure");
    this.slice = ddmi.add(beside, "img", { className: "slice", alt: "a slice of the occupancy field" });
    this.sliceCaption = ddmi.add(beside, "figcaption");
    this.axis = ddmi.choice(tools, "slice across", ["y", "x", "z"], () => this.cut());
    const places = { min: -1, max: 1, step: 0.02, value: 0 };
    this.at = ddmi.slider(tools, "at", places, () => this.cut(), (at) => at.toFixed(2));
  }

  async show() {
    if (this.source.live) this.cut();
    this.asking?.abort();
    this.asking = new AbortController();
    const { signal } = this.asking;
    const steps = this.source.live ? [...new Set([Math.min(32, this.cells), this.cells])] : [this.facts.ahead];
    for (const cells of steps) {
      const mesh = await this.source.bytes("mesh", { cells }, { signal });
      if (!mesh || signal.aborted) return;
      const faces = await this.scene.put(mesh);
      if (faces === null) return;
      this.caption.textContent = faces
        ? `${faces} triangles of ${cells} cells a side; drag turns, the wheel comes closer`
        : "empty: occupancy is below one half everywhere";
    }
  }

  async cut() {
    if (!this.at) return;
    this.cutting?.abort();
    this.cutting = new AbortController();
    const [axis, at] = [this.axis.value, Number(this.at.value)];
    const image = await this.source.image("slice", { axis, at }, { signal: this.cutting.signal });
    if (!image) return;
    ddmi.put(this.slice, image);
    this.sliceCaption.textContent = `occupancy where ${axis} = ${at.toFixed(2)}`;
  }

  close() {
    this.asking?.abort();
    this.cutting?.abort();
    this.scene.close();
  }
};
