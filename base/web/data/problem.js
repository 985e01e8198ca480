// An error: id, sentence and what to do.

export class Problem extends Error {
  constructor(status, body) {
    super(body.detail || body.title || `HTTP ${status}`);
    this.status = status;
    this.code = body.code || "net.status";
    this.fix = body.fix || "";
  }
}
