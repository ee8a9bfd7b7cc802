// A view is a class under ddmi.views.KIND: it draws into a place what its source is asked for.
//   constructor(place, source, facts)  source.image(question, params, {signal}), source.bytes(...) and source.live
//   show()                             the function, or the scales of it that are read, changed
//   close()                            nothing more will be shown here
ddmi.views.plain = class {
  constructor(place, source) {
    this.source = source;
    this.picture = ddmi.add(place, "img", { className: "plain", alt: "the function" });
  }
  async show() {
    this.asking?.abort();
    this.asking = new AbortController();
    const { signal } = this.asking;
    const image = await this.source.image("sheet", {}, { signal });
    if (image && !signal.aborted) ddmi.put(this.picture, image);
  }
  close() {
    this.asking?.abort();
  }
};
