// One device at work, told to a view: its console, its wire, and what its broker hears of it where the gateway is ours;
// a command goes down every ten seconds. Knows when one whole exchange has come about. Leaves out who built the bundle.
import { setTimeout as sleep } from "node:timers/promises";
import { errorCode, errorText } from "../cli/error_text";
import { DeviceError } from "../cli/exit";
import type { Gateway } from "../gateway/gateway";
import { clientIdOf, type Identity, topicPrefix } from "../keys/identity";
import type { LiveView } from "./live_view";
import type { NoiseMonitor } from "./noise_monitor";
import { type WireMessage, WireView } from "./wire_view";

const COMMAND_EVERY_MS = 10_000;
/** How long a server that is not ours may think about MQTT's CONNECT before `--once` is content without an answer. */
const ANSWER_PATIENCE_MS = 2_000;

export class DeviceRun {
  private wire = new WireView((message) => this.onMessage(message));
  private secured = false;
  private noiseShown = false;
  private telemetry = false;
  private answered = false;
  private dataIn = false;
  private lastError = 0;
  private commands = 0;
  private timer: NodeJS.Timeout | undefined;
  private onProgress = () => {};

  constructor(
    private readonly view: LiveView,
    private readonly identity: Identity,
    private readonly gateway: Gateway | undefined,
    /** Variables of the interpreter in use, and how many there are. */
    private readonly memory: () => { variables: number; of: number },
  ) {
    if (!gateway) return;
    const prefix = topicPrefix(identity);
    gateway.broker.subscribe(
      `${prefix}#`,
      (packet, done) => (this.onPublished(packet.topic.slice(prefix.length), packet), done()),
      () => {},
    );
    gateway.broker.on("subscribe", (_subscriptions, client) => {
      if (client?.id !== clientIdOf(identity)) return;
      clearInterval(this.timer);
      this.timer = setInterval(() => this.command(), COMMAND_EVERY_MS);
      setTimeout(() => this.command(), 200);
    });
  }

  onPrint(line: string, noise: NoiseMonitor): void {
    const code = errorCode(line);
    if (code === undefined) {
      if (line.trim()) this.view.show({ kind: "console", line });
      return;
    }
    if (code <= 3) this.showNoise(noise);
    this.lastError = code;
    this.view.show({ kind: "error", code });
  }

  onWire(direction: "out" | "in", bytes: Buffer, noise: NoiseMonitor): void {
    if (!this.noiseShown) this.showNoise(noise);
    this.wire.feed(direction, bytes);
  }

  /** Wait for one exchange; throws DeviceError when it does not come about in time. */
  async exchange(timeoutMs: number): Promise<void> {
    const done = new Promise<"done">((resolve) => {
      this.onProgress = () => {
        if (this.gateway ? this.telemetry && this.answered : this.dataIn) resolve("done");
        else if (!this.gateway && this.secured) setTimeout(resolve, ANSWER_PATIENCE_MS, "done").unref();
      };
    });
    const deadline = new AbortController();
    const late = sleep(timeoutMs, "late" as const, { signal: deadline.signal }).catch(() => "done" as const);
    const outcome = await Promise.race([done, late, interrupted()]);
    deadline.abort();
    if (outcome === "interrupted") throw new DeviceError("interrupted before the exchange was over.");
    if (outcome === "late") {
      const reason = this.lastError
        ? `the last error was E${this.lastError}: ${errorText(this.lastError)}`
        : "the device reported no error.";
      throw new DeviceError(`no exchange in ${timeoutMs / 1000} seconds; ${reason}`);
    }
    if (!this.gateway && !this.dataIn)
      this.view.show({ kind: "note", text: "the session stands; nothing came back yet" });
  }

  stop(): void {
    clearInterval(this.timer);
  }

  private onMessage(message: WireMessage): void {
    if (message.name === "ClientHello") this.secured = this.dataIn = false;
    if (message.name !== "ApplicationData") return this.view.show({ kind: "message", message });
    // The device sends data only after the server's Finished proved true.
    if (message.direction === "out" && !this.secured) {
      this.secured = true;
      const { agreement, handshakeBytes } = this.wire;
      this.view.show({
        kind: "secured",
        suite: agreement.suite ?? "",
        extensions: agreement.extensions,
        bytesOut: handshakeBytes.out,
        bytesIn: handshakeBytes.in,
      });
    }
    this.view.show({ kind: "message", message });
    if (message.direction === "in") this.dataIn = true;
    this.onProgress();
  }

  private onPublished(name: string, { topic, payload }: { topic: string; payload: Buffer | string }): void {
    const content = Buffer.from(payload);
    if (name === "up/status") {
      this.telemetry = true;
      this.view.show({ kind: "telemetry", topic, payload: content });
      this.view.show({ kind: "memory", ...this.memory() });
    } else if (name.startsWith("up/")) {
      this.answered = true;
      this.view.show({ kind: "answer", topic, payload: content });
    } else if (name === "state") {
      this.view.show({ kind: "state", topic, payload: content });
    }
    this.onProgress();
  }

  private command(): void {
    const topic = `${topicPrefix(this.identity)}down/valve`;
    const payload = Buffer.from(this.commands++ % 2 ? "close" : "open");
    this.view.show({ kind: "command", topic, payload });
    this.gateway?.broker.publish(
      { cmd: "publish", topic, payload, qos: 0, dup: false, retain: false },
      () => {},
    );
  }

  private showNoise(noise: NoiseMonitor): void {
    this.noiseShown = true;
    const { words, ones, longestRun, runCutoff, mostAlike, alikeCutoff, healthy, dead } = noise;
    this.view.show({
      kind: "noise",
      words,
      ones,
      longestRun,
      runCutoff,
      mostAlike,
      alikeCutoff,
      healthy,
      dead,
    });
  }
}

/** Wait for Ctrl-C, or for a supervisor's wish. */
export function interrupted(): Promise<"interrupted"> {
  return new Promise((resolve) => {
    process.once("SIGINT", () => resolve("interrupted"));
    process.once("SIGTERM", () => resolve("interrupted"));
  });
}
