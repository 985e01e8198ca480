// Server-sent events out of pieces of text.

export class Events {
  rest = "";

  // The data of each event that is whole by now.
  take(piece) {
    const blocks = (this.rest + piece).split(/\r?\n\r?\n/);
    this.rest = blocks.pop();
    return blocks.map((block) => block.split(/\r?\n/).filter((line) => line.startsWith("data:"))
      .map((line) => line.slice(5).replace(/^ /, "")).join("\n")).filter((data) => data !== "");
  }
}
