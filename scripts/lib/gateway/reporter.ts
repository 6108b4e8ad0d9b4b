// What the gateway says on its standard output: a line for each device that a broker took or lost, and once a second what
// else there was, counted. A flood of refusals is one line a second, not a full disk.
// Leaves out: log files, levels, dates; a supervisor does that better.
import { quoted, show, showJson } from "../cli/show";
import type { GatewayEvent } from "./gateway";

const EVERY_MS = 1_000;
const LINES_MS = 100; // lines of devices that come and go are written together: each write is a call into the system

export class Reporter {
  private readonly refused = new Map<string, number>();
  private readonly others = new Map<GatewayEvent["kind"], { first: GatewayEvent; count: number }>();
  private timer: NodeJS.Timeout | undefined;
  private lines: string[] = [];

  constructor(
    private readonly asJson: boolean,
    private readonly print: (line: string) => void,
  ) {}

  take(event: GatewayEvent): void {
    if (event.kind === "secured") return; // nothing before CONNECT has a line
    if (event.kind === "connected" || event.kind === "disconnected") {
      if (!this.lines.length) setTimeout(() => this.write(), LINES_MS).unref();
      this.lines.push(this.asJson ? showJson(event) : show(sentence(event)));
      return;
    }
    if (event.kind === "refused") this.refused.set(event.reason, (this.refused.get(event.reason) ?? 0) + 1);
    else {
      const there = this.others.get(event.kind);
      if (there) there.count++;
      else this.others.set(event.kind, { first: event, count: 1 });
    }
    this.timer ??= setTimeout(() => this.flush(), EVERY_MS).unref();
  }

  private write(): void {
    if (this.lines.length) this.print(this.lines.join("\n"));
    this.lines = [];
  }

  /** Tell what is counted. */
  flush(): void {
    this.write();
    clearTimeout(this.timer);
    this.timer = undefined;
    const reasons = [...this.refused].sort(([, a], [, b]) => b - a);
    const total = reasons.reduce((sum, [, count]) => sum + count, 0);
    if (total)
      this.print(
        this.asJson
          ? showJson({ kind: "refused", count: total, reasons: Object.fromEntries(reasons) })
          : show(`refused ${total}: ${reasons.map(([reason, count]) => `${count} ${reason}`).join(", ")}`),
      );
    for (const { first, count } of this.others.values())
      this.print(
        this.asJson
          ? showJson({ ...first, count })
          : show(`${sentence(first)}${count > 1 ? `, and ${count - 1} more like it` : ""}`),
      );
    this.refused.clear();
    this.others.clear();
  }
}

function sentence(event: GatewayEvent): string {
  switch (event.kind) {
    case "secured":
    case "connected":
    case "disconnected":
      return `${event.identity} ${event.kind}`;
    case "refused":
      return `${event.address} refused: ${event.reason}`;
    case "fault":
      return event.reason;
    case "denied":
      return `${event.identity} may not ${event.action} ${quoted(event.topic, 128)}`;
  }
}
