// The page: which model, how it is sampled, the wall of functions, and the view of one of them.
// With a server questions are asked of it; without one their answers are in the page.
"use strict";
const ddmi = { views: {} };

ddmi.add = (place, tag, properties = {}) => place.appendChild(Object.assign(document.createElement(tag), properties));
ddmi.number = (value) => (value >= 100 ? Math.round(value).toLocaleString("en") : Number(value.toPrecision(2)).toString());

ddmi.labelled = (place, text) => ddmi.add(place, "label", { textContent: text });
// A slider with its value beside it, in words of its own.
ddmi.slider = (place, text, range, changed, words = String) => {
  const label = ddmi.labelled(place, text);
  const input = ddmi.add(label, "input", { type: "range" });
  Object.assign(input, { min: range.min, max: range.max, step: range.step, value: range.value });
  input.setAttribute("aria-label", text);
  const output = ddmi.add(label, "output");
  input.put = (value) => {
    input.value = value;
    output.textContent = words(Number(value));
  };
  input.put(range.value);
  input.addEventListener("input", () => {
    input.put(input.value);
    changed(Number(input.value));
  });
  return input;
};
ddmi.choice = (place, text, values, changed) => {
  const select = ddmi.add(ddmi.labelled(place, text), "select");
  select.setAttribute("aria-label", text);
  for (const value of values) ddmi.add(select, "option", { value, textContent: value });
  select.addEventListener("change", changed);
  return select;
};
ddmi.flag = (place, text, changed, checked = false) => {
  const label = ddmi.labelled(place, text);
  const input = ddmi.add(label, "input", { type: "checkbox", checked });
  label.prepend(input);
  input.addEventListener("change", changed);
  return input;
};
ddmi.button = (place, text, pressed, className = "") => {
  const button = ddmi.add(place, "button", { type: "button", textContent: text, className });
  button.addEventListener("click", pressed);
  return button;
};

// What a view may ask of the function that is shown.
ddmi.Source = class {
  constructor(page) {
    this.page = page;
    this.live = page.live;
  }

  address(question, params) {
    const word = (value) => (typeof value === "number" ? String(Number(value.toPrecision(6))) : String(value));
    const words = Object.keys(params).sort().map((name) => [name, word(params[name])]);
    return `${question}?${new URLSearchParams(words)}`;
  }

  async bytes(question, params, { signal } = {}) {
    const { page } = this;
    let address = this.address(question, params);
    if (!page.live) {
      const found = page.shown.answers[address];
      return found ? ddmi.bytesOf(found) : null;
    }
    const off = [...page.off].sort().join(",");
    if (off) address += `&without=${encodeURIComponent(off)}`;
    try {
      const response = await fetch(`models/${page.model.name}/functions/${page.shown.name}/${address}`, { signal });
      if (response.ok) return await response.arrayBuffer();
      page.complain(await ddmi.refusal(response));
    } catch (error) {
      if (error.name !== "AbortError") page.complain("the explorer does not answer any more: was it stopped?");
    }
    return null;
  }

  async image(question, params, options) {
    const bytes = await this.bytes(question, params, options);
    return bytes && bytes.byteLength ? ddmi.imageOf(bytes) : null;
  }
};

ddmi.refusal = async (response) => {
  const words = await response.text();
  try {
    return JSON.parse(words).error;
  } catch {
    return words || `the explorer answered ${response.status}`;
  }
};
ddmi.bytesOf = (uri) => Uint8Array.from(atob(uri.slice(uri.indexOf(",") + 1)), (letter) => letter.charCodeAt(0)).buffer;
ddmi.imageOf = (bytes) => {
  const image = new Image();
  image.src = URL.createObjectURL(new Blob([bytes]));
  return image.decode().then(() => image, () => null);
};
// Shows an image in the place of the one before, whose bytes are let go.
ddmi.put = (place, image) => {
  const before = place.src;
  place.src = image.src;
  if (before.startsWith("blob:")) URL.revokeObjectURL(before);
};

ddmi.Page = class {
  constructor(data) {
    this.live = data.live;
    this.models = data.models;
    this.source = new ddmi.Source(this);
    this.off = new Set();
    for (const id of ["models", "about", "how", "progress", "error", "wall", "view"]) this[`$${id}`] = document.getElementById(id);
    this.$how.addEventListener("submit", (event) => {
      event.preventDefault();
      this.sample(false);
    });
  }

  async start() {
    if (this.live) {
      const response = await fetch("models");
      if (!response.ok) return this.complain(await ddmi.refusal(response));
      this.models = await response.json();
      this.listenForFiles();
    }
    for (const model of this.models) {
      model.functions ||= [];
      model.tab = ddmi.button(this.$models, model.name, () => this.open(model));
    }
    await this.open(this.models[0]);
  }

  async open(model) {
    this.stop();
    this.view?.close();
    this.model = model;
    this.shown = this.view = null;
    this.choosing = false;
    for (const one of this.models) one.tab.setAttribute("aria-pressed", one === model);
    this.$about.textContent = [`recipe ${model.recipe}`, model.attribution].filter(Boolean).join(". ");
    this.complain("");
    this.form();
    this.$wall.replaceChildren();
    this.$view.replaceChildren();
    for (const one of model.functions) this.hang(one);
    if (model.functions.length) this.show(model.functions[0]);
    else if (this.live && model.can_sample) this.sample(false);
    else if (this.live) ddmi.add(this.$view, "p", { textContent: "Only its autoencoder is trained: drop a file here to see it as a function." });
  }

  form() {
    const { model, $how } = this;
    $how.replaceChildren();
    if (!this.live) return;
    const number = (name, text, value, more = {}) => {
      const input = ddmi.add(ddmi.labelled($how, text), "input", { type: "number", value, name, min: 0, ...more });
      input.setAttribute("aria-label", text);
      return input;
    };
    if (model.can_sample) {
      this.seed = number("seed", "seed", 0);
      this.count = number("count", "how many", 8, { min: 1, max: 64 });
      if (model.can_prompt) {
        this.prompt = ddmi.add(ddmi.labelled($how, "prompt"), "input", { type: "text", placeholder: "anything", value: "" });
        this.prompt.setAttribute("aria-label", "prompt");
      } else this.prompt = null;
      this.sampler = ddmi.choice($how, "sampler", model.samplers, () => (this.steps.value = model.steps[this.sampler.value]));
      this.steps = number("steps", "steps", model.steps[model.samplers[0]], { min: 1, max: 1000 });
      this.guidance = model.guided ? number("guidance", "guidance", model.guidance, { step: 0.5 }) : null;
      ddmi.add($how, "button", { className: "main", textContent: "sample" });
      ddmi.button($how, "more", () => this.sample(true));
      ddmi.button($how, "stop", () => this.stop());
    }
    const file = ddmi.add($how, "input", { type: "file", hidden: true });
    file.addEventListener("change", () => file.files[0] && this.encode(file.files[0]));
    ddmi.button($how, "encode a file ...", () => file.click());
  }

  settings() {
    const params = new URLSearchParams({ seed: this.seed.value, sampler: this.sampler.value, steps: this.steps.value });
    if (this.guidance && this.sampler.value !== "mean-flow") params.set("guidance", this.guidance.value);
    if (this.prompt?.value) params.set("prompt", this.prompt.value);
    return params;
  }

  sample(more) {
    const { model } = this;
    const params = this.settings();
    params.set("count", this.count.value);
    const key = `${params}`;
    if (more && key === model.asked) model.next += Number(this.count.value);
    else model.next = 0;
    model.asked = key;
    params.set("start", model.next);
    let first = true;
    return this.stream(`models/${model.name}/sample?${params}`, (event) => {
      if (!event.function) return;
      if (first && !more) {
        model.functions = [];
        this.$wall.replaceChildren();
      }
      model.functions.push(event.function);
      this.hang(event.function);
      if (first) this.show(event.function);
      first = false;
    });
  }

  // Reads events line by line, and shows how far the work is.
  async stream(address, told) {
    this.stop();
    const working = (this.working = new AbortController());
    this.progress("waiting", null);
    try {
      const response = await fetch(address, { signal: working.signal });
      if (!response.ok) return this.complain(await ddmi.refusal(response));
      this.complain("");
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for (let rest = ""; ; ) {
        const { value, done } = await reader.read();
        if (done) break;
        const lines = (rest + value).split("\n");
        rest = lines.pop();
        for (const line of lines) {
          const event = JSON.parse(line);
          if (event.error) return this.complain(event.error);
          else if (event.what) this.progress(event.what, event.progress);
          told(event);
        }
      }
      return true;
    } catch (error) {
      if (error.name !== "AbortError") this.complain("the explorer does not answer any more: was it stopped?");
    } finally {
      if (this.working === working) this.progress("", null);
    }
  }

  stop() {
    this.working?.abort();
    this.progress("", null);
  }

  progress(what, part) {
    this.$progress.hidden = !what;
    this.$progress.firstChild.style.width = part === null ? "0" : `${100 * part}%`;
    this.$progress.lastChild.textContent = what + (part === null ? " ..." : ` ${Math.round(100 * part)} %`);
  }

  complain(words) {
    this.$error.hidden = !words;
    this.$error.textContent = words;
  }

  hang(one) {
    const { model } = this;
    one.frame = ddmi.add(this.$wall, "button", { type: "button", className: "function", title: one.label });
    one.frame.setAttribute("aria-label", one.label);
    const image = ddmi.add(one.frame, "img", { alt: one.label, loading: "lazy" });
    image.src = this.live ? `models/${model.name}/functions/${one.name}/${model.picture}` : one.answers[model.picture];
    one.frame.addEventListener("click", (event) => (this.choosing || event.shiftKey ? this.between(one) : this.show(one)));
  }

  show(one) {
    const { model } = this;
    this.shown = one;
    for (const other of model.functions) other.frame?.setAttribute("aria-pressed", other === one);
    if (!this.view) {
      this.$view.replaceChildren();
      this.$title = ddmi.add(this.$view, "h2");
      const place = ddmi.add(this.$view, "div");
      this.view = new ddmi.views[model.view](place, this.source, model.facts);
      this.$more = ddmi.add(this.$view, "div");
      this.tools();
    }
    this.$title.textContent = one.label;
    this.$near?.replaceChildren();
    this.links();
    this.view.show();
  }

  // What every kind of function can: scales, ways between two, nearest training items, files.
  tools() {
    this.off.clear();
    if (!this.live) {
      this.$links = ddmi.add(this.$more, "div", { className: "tools" });
      return;
    }
    const scales = ddmi.add(this.$more, "div", { className: "tools" });
    ddmi.labelled(scales, "scales of the basis fields:");
    for (let scale = 1; scale <= this.shown.scales; scale++) {
      const words = scale === 1 ? "1, coarsest" : scale === this.shown.scales ? `${scale}, finest` : String(scale);
      const flag = ddmi.flag(scales, words, () => {
        flag.checked ? this.off.delete(scale) : this.off.add(scale);
        this.view.show();
      }, true);
    }
    const ways = ddmi.add(this.$more, "div", { className: "tools" });
    if (this.model.can_sample) {
      const others = ddmi.button(ways, "go to another ...", () => {
        this.choosing = !this.choosing;
        others.textContent = this.choosing ? "now click where to" : "go to another ...";
      });
      this.$others = others;
      this.$way = ddmi.add(ways, "span");
    }
    ddmi.button(ways, "nearest training items", () => this.nearest());
    this.$near = ddmi.add(this.$more, "div", { className: "near" });
    this.$links = ddmi.add(this.$more, "div", { className: "tools" });
  }

  links() {
    this.$links.replaceChildren();
    const { model, shown } = this;
    const at = this.live ? `models/${model.name}/functions/${shown.name}/` : "";
    const file = `${model.name}-${shown.name}`;
    for (const [end, address] of Object.entries(model.downloads)) {
      const href = this.live ? at + address : shown.answers[address];
      if (href) ddmi.add(this.$links, "a", { className: "button", textContent: end, href, download: file + end });
    }
    if (this.live) ddmi.add(this.$links, "a", { className: "button", textContent: "latent .safetensors", href: `${at}latent.safetensors`, download: `${file}.safetensors` });
    if (this.$links.childElementCount) this.$links.prepend(ddmi.add(this.$links, "label", { textContent: "take away:" }));
  }

  async between(other) {
    const { model, shown } = this;
    this.choosing = false;
    if (this.$others) this.$others.textContent = "go to another ...";
    if (!shown || !this.live || other === shown) return this.show(other);
    if (!shown.grown || !other.grown) return this.complain("a way leads between two functions that were sampled");
    shown.frame.classList.add("end");
    other.frame.classList.add("end");
    const params = new URLSearchParams({ first: shown.name, second: other.name });
    const parts = [];
    this.$way.replaceChildren();
    const whole = await this.stream(`models/${model.name}/between?${params}`, (event) => event.function && parts.push(event.function));
    for (const one of [shown, other]) one.frame.classList.remove("end");
    if (!whole || this.model !== model) return;
    const range = { min: 0, max: parts.length - 1, step: 1, value: 0 };
    const go = (part) => {
      this.shown = parts[part];
      this.$title.textContent = `${parts[part].label}, from ${shown.label} to ${other.label}`;
      this.$near.replaceChildren();
      this.links();
      this.view.show();
    };
    const slider = ddmi.slider(this.$way, "way", range, go, (part) => `${part} / ${parts.length - 1}`);
    const half = Math.floor((parts.length - 1) / 2);
    slider.put(half);
    go(half);
  }

  nearest() {
    const { shown, model } = this;
    this.$near.replaceChildren();
    return this.stream(`models/${model.name}/functions/${shown.name}/nearest`, (event) => {
      if (this.shown !== shown) return;
      for (const { picture, distance } of event.nearest || []) {
        const figure = ddmi.add(this.$near, "figure");
        ddmi.add(figure, "img", { src: picture, alt: "a training item" });
        ddmi.add(figure, "figcaption", { textContent: `cosine distance ${distance}` });
      }
    });
  }

  listenForFiles() {
    const { body } = document;
    body.addEventListener("dragover", (event) => {
      event.preventDefault();
      body.classList.add("dropping");
    });
    body.addEventListener("dragleave", () => body.classList.remove("dropping"));
    body.addEventListener("drop", (event) => {
      event.preventDefault();
      body.classList.remove("dropping");
      if (event.dataTransfer.files[0]) this.encode(event.dataTransfer.files[0]);
    });
  }

  async encode(file) {
    const { model } = this;
    this.progress(`encoding ${file.name}`, null);
    try {
      const address = `models/${model.name}/encode?${new URLSearchParams({ name: file.name })}`;
      const response = await fetch(address, { method: "POST", body: file });
      if (!response.ok) return this.complain(await ddmi.refusal(response));
      const answer = await response.json();
      this.complain("");
      model.functions.push(answer);
      if (this.model !== model) return;
      this.hang(answer);
      this.show(answer);
    } catch {
      this.complain("the explorer does not answer any more: was it stopped?");
    } finally {
      this.progress("", null);
    }
  }
};

ddmi.start = () => {
  ddmi.page = new ddmi.Page(JSON.parse(document.getElementById("data").textContent));
  ddmi.page.start();
};
