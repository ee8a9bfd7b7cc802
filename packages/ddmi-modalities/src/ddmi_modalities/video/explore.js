// Plays at any rate and size, and stands still between any two frames of the training data.
ddmi.views.video = class {
  constructor(place, source, facts) {
    this.source = source;
    this.facts = facts;
    this.frames = facts.frames * facts.between;
    this.size = facts.ahead;
    this.seconds = 2; // that the whole clip lasts
    this.at = 0;
    this.strips = [];
    const figure = ddmi.add(place, "figure");
    this.canvas = ddmi.add(figure, "canvas", { width: 512, height: 512 });
    this.caption = ddmi.add(figure, "figcaption");
    const tools = ddmi.add(place, "div", { className: "tools" });
    this.button = ddmi.button(tools, "pause", () => this.playing(!this.plays));
    const still = (at) => {
      this.playing(false);
      this.at = at;
      this.draw();
    };
    this.time = ddmi.slider(tools, "time", { min: 0, max: 1, step: 0.001, value: 0 }, still, (at) => at.toFixed(2));
    const lengths = { min: 0.5, max: 8, step: 0.1, value: this.seconds };
    ddmi.slider(tools, "seconds", lengths, (seconds) => (this.seconds = seconds), (seconds) => seconds.toFixed(1));
    if (source.live) {
      const counts = [2, 1, 4, 8].map((times) => String(times * facts.frames));
      this.count = ddmi.choice(tools, "frames", counts, () => {
        this.frames = Number(this.count.value);
        this.show();
      });
      this.pixels = ddmi.choice(tools, "pixels", ["96", "64", "128", "256"], () => {
        this.size = Number(this.pixels.value);
        this.show();
      });
    }
    this.playing(true);
  }

  playing(plays) {
    this.plays = plays;
    this.button.textContent = plays ? "pause" : "play";
    if (!plays) return;
    let before = performance.now();
    const step = (now) => {
      if (!this.plays) return;
      this.at = (this.at + (now - before) / 1000 / this.seconds) % 1;
      before = now;
      this.time.put(this.at);
      this.draw();
      requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
  }

  async show() {
    this.asking?.abort();
    this.asking = new AbortController();
    const { signal } = this.asking;
    const [frames, size] = [this.frames, this.size];
    const strips = [];
    const each = this.source.live ? 8 : this.facts.together;
    for (let first = 0; first < frames; first += each) {
      const count = Math.min(each, frames - first);
      const image = await this.source.image("strip", { frames, first, count, size }, { signal });
      if (!image || signal.aborted) return;
      URL.revokeObjectURL(image.src); // it is decoded
      strips.push({ first, count, image });
      if (first === 0 || this.strips.frames !== frames || this.strips.size !== size) {
        this.strips = strips; // what is there is shown at once
        [this.strips.frames, this.strips.size] = [frames, size];
      }
      this.draw();
    }
    this.strips = strips;
    [this.strips.frames, this.strips.size] = [frames, size];
  }

  draw() {
    const { frames, size } = this.strips;
    if (!frames) return;
    const number = Math.min(frames - 1, Math.floor(this.at * frames));
    const strip = this.strips.find(({ first, count }) => first <= number && number < first + count);
    if (!strip) return;
    const context = this.canvas.getContext("2d");
    context.drawImage(strip.image, (number - strip.first) * size, 0, size, size, 0, 0, this.canvas.width, this.canvas.height);
    const training = ((number + 0.5) / frames) * this.facts.frames + 0.5;
    const known = `the data have ${this.facts.frames} frames of ${this.facts.native} x ${this.facts.native}`;
    this.caption.textContent = `frame ${number + 1} of ${frames}, at ${training.toFixed(2)}; ${known}`;
  }

  close() {
    this.plays = false;
    this.asking?.abort();
  }
};
