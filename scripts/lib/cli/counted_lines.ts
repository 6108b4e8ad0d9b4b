// What a service says of what it does again and again: once a second, counted, and in few lines, for a flood is no full disk.
import { show, showJson } from "./show";

const EVERY_MS = 1_000;
/** Lines of different things that are told in that time; one more counts the rest. */
const LINES = 50;

export class CountedLines {
  private readonly counts = new Map<string, number>();
  private lines = 0;
  private timer?: NodeJS.Timeout;
  constructor(private readonly asJson: boolean) {}

  /** Tell this at once, `event` to machines; where LINES of them are told already, it is counted as its kind. */
  line(event: { event: string }, text: string): void {
    if (this.lines++ >= LINES) return this.count(event.event);
    this.wait();
    console.log(this.asJson ? showJson(event) : show(text));
  }

  /** Count this. Who floods us has another word each time. */
  count(what: string): void {
    this.wait();
    if (this.counts.size >= LINES && !this.counts.has(what)) what = "others";
    this.counts.set(what, (this.counts.get(what) ?? 0) + 1);
  }

  /** Tell what is counted. */
  flush(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.lines = 0;
    for (const [what, count] of this.counts)
      console.log(this.asJson ? showJson({ event: "counted", what, count }) : show(`${what} (${count})`));
    this.counts.clear();
  }

  private wait(): void {
    this.timer ??= setTimeout(() => this.flush(), EVERY_MS).unref();
  }
}
