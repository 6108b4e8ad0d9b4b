// What `npm start` shows: events of one simulated device, its wire and its gateway, as lines for people (colours only
// on a terminal) or one JSON object a line for machines. Keys are no part of any event.

import { styleText } from "node:util";
import { errorText } from "../cli/error_text";
import { quoted, show, showBytes } from "../cli/show";
import { wrap } from "../cli/wrap";
import type { GatewayEvent } from "../gateway/gateway";
import { hexLines, type WireMessage } from "./wire_view";

export type LiveEvent =
  | {
      kind: "bundle";
      board: string;
      bytes: number;
      /** Most that it may have. */
      most: number;
      sectionBytes: number;
      sections: number;
      buildMs: number;
    }
  | { kind: "device"; identity: string; checkValue: string; key: string }
  | { kind: "gateway"; host: string; port: number }
  | { kind: "server"; host: string; port: number }
  | { kind: "power"; on: boolean }
  | {
      kind: "noise";
      words: number;
      ones: number;
      longestRun: number;
      runCutoff: number;
      mostAlike: number;
      alikeCutoff: number;
      healthy: boolean;
      dead: boolean;
    }
  | { kind: "message"; message: WireMessage }
  | { kind: "secured"; suite: string; extensions: string[]; bytesOut: number; bytesIn: number }
  | { kind: "telemetry" | "command" | "answer" | "state"; topic: string; payload: Buffer }
  | { kind: "memory"; variables: number; of: number }
  | { kind: "refused"; event: Extract<GatewayEvent, { kind: "refused" | "denied" }> }
  | { kind: "pin"; pin: string; level: number }
  | { kind: "i2c"; address: number; bytes: Buffer }
  | { kind: "error"; code: number }
  | { kind: "threw"; text: string; file: string; line: number; source: string }
  | { kind: "console"; line: string }
  | { kind: "update" | "note"; text: string };

/** Show events as they come; times count from the first one. */
export class LiveView {
  private readonly start = process.hrtime.bigint();

  constructor(
    private readonly json: boolean,
    private readonly write: (line: string) => void = (line) => console.log(line),
  ) {}

  show(event: LiveEvent): void {
    const elapsedMs = Number(process.hrtime.bigint() - this.start) / 1e6;
    if (this.json) {
      this.write(JSON.stringify({ ms: Math.round(elapsedMs), ...event }, asText));
      return;
    }
    const [mark, head, ...details] = lines(event);
    const colour = COLOURS[event.kind];
    const label = mark.padEnd(LABEL_WIDTH);
    const margin = " ".repeat(TIME_WIDTH + LABEL_WIDTH);
    // broken between words, below where the text begins
    const broken = (line: string) =>
      wrap(margin + line, process.stdout.columns, margin.length).slice(margin.length);
    const time = `${(elapsedMs / 1000).toFixed(3).padStart(TIME_WIDTH - 2)}  `;
    this.write(`${dim(time)}${colour ? paint(colour, label) : label}${broken(head)}`);
    for (const line of details) this.write(margin + dim(broken(line)));
  }
}

/** Said before a bundle is made: nobody waits without a word. */
export const BUILDING = "making the bundle; one that was made before is at hand at once";

const TIME_WIDTH = 10;
const LABEL_WIDTH = 11;

const COLOURS: Partial<Record<LiveEvent["kind"], Parameters<typeof styleText>[0]>> = {
  secured: "green",
  telemetry: "cyan",
  command: "magenta",
  answer: "magenta",
  update: "blue",
  pin: "blue",
  error: "red",
  threw: "red",
  refused: "red",
  noise: "yellow",
};

function paint(colour: Parameters<typeof styleText>[0], text: string): string {
  return process.stdout.isTTY && !process.env.NO_COLOR ? styleText(colour, text) : text;
}

function dim(text: string): string {
  return paint("dim", text);
}

/** Bytes of a line of hex, in groups of four with a space between: what fits, and 32 at most. */
function hexWidth(): number {
  const room = (process.stdout.columns ?? Number.POSITIVE_INFINITY) - TIME_WIDTH - LABEL_WIDTH;
  return 4 * Math.min(8, Math.max(1, Math.floor((room + 1) / 9)));
}

/** A label, a headline, and further lines. */
function lines(event: LiveEvent): string[] {
  switch (event.kind) {
    case "bundle":
      return [
        "bundle",
        `${count(event.bytes)} of ${count(event.most)} bytes ${bar(event.bytes / event.most)} for ${event.board}, built in ${event.buildMs} ms`,
        `${count(event.bytes - event.sectionBytes)} bytes stay; ${event.sections} sections with ${count(event.sectionBytes)} bytes are evaluated when needed and dropped after`,
      ];
    case "device":
      return ["device", `${event.identity}, key check value ${event.checkValue}, ${event.key}`];
    case "gateway":
      return [
        "gateway",
        `TLS-PSK on ${event.host}:${event.port}, keys derived from identities, an MQTT broker behind it`,
      ];
    case "server":
      return ["server", `${event.host}:${event.port}, which is not ours`];
    case "power":
      return ["power", event.on ? "on" : "off"];
    case "noise":
      return ["noise", noiseLine(event), ...(event.healthy ? [] : ["no nonces from this: no handshake"])];
    case "message": {
      const { direction, name, bytes, encrypted, details } = event.message;
      const isData = name === "ApplicationData" && encrypted;
      const headline = `${name}, ${count(bytes.length)} ${bytes.length === 1 ? "byte" : "bytes"}${encrypted ? " encrypted" : ""}`;
      return [
        direction === "out" ? "-->" : "<--",
        headline,
        ...details,
        ...(isData ? [] : hexLines(bytes, hexWidth())),
      ];
    }
    case "secured":
      return [
        "secured",
        event.suite,
        `extensions agreed: ${event.extensions.join(", ") || "none"}`,
        `handshake: ${event.bytesOut} bytes out, ${event.bytesIn} bytes in`,
      ];
    case "telemetry":
    case "command":
    case "answer":
    case "state":
      return [event.kind, `${show(event.topic)} ${showBytes(event.payload)}`];
    case "memory":
      return [
        "memory",
        `about ${count(event.variables)} of ${count(event.of)} variables between two events, estimated`,
      ];
    case "refused": {
      const refusal = event.event;
      const text =
        refusal.kind === "refused"
          ? `the gateway refused ${refusal.address}: ${refusal.reason}`
          : `no ${refusal.action} on ${quoted(refusal.topic)}`;
      return ["gateway", text];
    }
    case "pin":
      return ["pin", `${event.pin} ${event.level}`];
    case "i2c":
      return ["i2c", `0x${event.address.toString(16)} <- ${event.bytes.toString("hex")}`];
    case "error":
      return [`E${event.code}`, errorText(event.code) ?? "no code of this device"];
    case "threw":
      return ["threw", `${show(event.text)}, at ${show(event.file)}:${event.line}`, show(event.source)];
    case "console":
      return ["console", showBytes(Buffer.from(event.line, "latin1"))];
    case "update":
      return ["update", event.text];
    case "note":
      return ["", event.text];
  }
}

function noiseLine(event: Extract<LiveEvent, { kind: "noise" }>): string {
  if (event.dead && event.words === 0) return "dead: no sample came";
  const share = ((100 * event.ones) / (32 * event.words)).toFixed(1);
  return [
    event.healthy ? "healthy" : event.dead ? "died" : "unhealthy",
    `${count(event.words * 32)} bits read, ${share} % ones`,
    `longest run ${event.longestRun} (cut-off ${event.runCutoff})`,
    `most alike of 1,024: ${event.mostAlike} (cut-off ${event.alikeCutoff})`,
  ].join("; ");
}

function bar(share: number): string {
  const full = Math.round(Math.min(1, share) * 20);
  return `[${"#".repeat(full)}${".".repeat(20 - full)}]`;
}

function count(number: number): string {
  return number.toLocaleString("en-US");
}

/** JSON of an event: bytes as hex where they are wire, as text where they are payload. */
function asText(this: unknown, name: string, value: unknown): unknown {
  const original = (this as Record<string, unknown>)[name];
  if (!Buffer.isBuffer(original)) return value;
  return name === "payload" ? original.toString() : original.toString("hex");
}
