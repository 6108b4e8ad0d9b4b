// One device at the end of a port, as the bench sees it: blank, with the interpreter's prompt open, or locked, with the
// firmware's own lines (firmware/provision.ts) on the port. The same requests go either way: at the prompt through the
// global `provision`, locked as they are. What it is, it says itself; nothing is remembered from a run before.
// Keys pass through here on their way to the device, in lines that are neither echoed nor written down.
import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { cmac } from "@noble/ciphers/aes.js";
import type { Board } from "../../../boards/board";
import { BUILDS } from "../../../hal/simulator/builds";
import { BUNDLE_FILE } from "../build";
import type { DeviceKeys } from "../custody/master";
import { errorText } from "../error_text";
import { keyCheckValue, PURPOSES } from "../keys";
import type { FailureCode } from "./interfaces";
import { Port, PortClosed } from "./port";
import { ask, askOnce, exchange, findPrompt, NoAnswer, readFile, tell } from "./prompt";
import { type Pace, upload } from "./upload";

/** A step went wrong in a way that has a name. */
export class StepFailed extends Error {
  override name = "StepFailed";
  constructor(
    readonly code: FailureCode,
    message: string,
  ) {
    super(message);
  }
}

/** What a device says of itself. */
export interface DeviceState {
  /** `prompt`: the interpreter's; `locked`: the firmware answers. */
  mode: "prompt" | "locked";
  /** At the prompt: process.env.BOARD and process.env.SERIAL. */
  board?: string;
  chip?: string;
  /** Whether our firmware runs: always when locked. */
  hasFirmware: boolean;
  /** Of `conf`. */
  identity?: string;
  /** The four check values, 24 hex digits; undefined where no whole record is in. */
  checkValues?: string;
}

/** Settings of one device, as the file `conf` holds them. */
export interface DeviceSettings {
  id: string;
  host: string;
  port: number;
  ssid: string;
  pass: string;
}

const RECORD_CHECKS = 12; // bytes: four check values of 3
const ANSWER_MS = 1500;
/** The self-test: 1,024 samples of noise on the slowest board. */
const SELF_TEST_MS = 15_000;
const RESTART_MS = 10_000;
const LINE_TRIES = 3;

const ID_ANSWER = /(?:^|[\r\n])(\S+) (-?\d+) ([A-Za-z0-9+/=]{16})?\r?\n/;
const PROMPT = /(^|[\r\n]|\x1b\[J)([>:])$/;

/** The check values of four keys as the device reports them: hex, in the order of the record. */
export function checkValuesOf(keys: DeviceKeys): string {
  return PURPOSES.map((purpose) => keyCheckValue(keys[purpose])).join("");
}

/** The key record: four keys of 16 bytes, then their check values. */
export function keyRecord(keys: DeviceKeys): Buffer {
  const checks = Buffer.from(checkValuesOf(keys), "hex");
  return Buffer.concat([...PURPOSES.map((purpose) => keys[purpose]), checks]);
}

export class Device {
  /** What it said last; `identify` asks again. */
  state!: DeviceState;

  constructor(
    public port: Port,
    readonly board: Board,
  ) {}

  close(): void {
    this.port.close();
  }

  /** Ask the device what it is. Throws NoAnswer where it says nothing that makes sense. */
  async identify(): Promise<DeviceState> {
    for (let attempt = 0; attempt < LINE_TRIES; attempt++) {
      // ends whatever noise may have left in the firmware's line
      await exchange(this.port, "\n", /\n/, 100);
      const found = await exchange(
        this.port,
        "id\n",
        new RegExp(`${ID_ANSWER.source}|${PROMPT.source}`),
        700,
      );
      if (found?.[2] !== undefined) {
        this.state = { mode: "locked", hasFirmware: true, ...idOf(found[1], found[3]) };
        return this.state;
      }
      if (found === undefined && attempt < LINE_TRIES - 1) continue;
      try {
        return await this.identifyAtPrompt();
      } catch (error) {
        if (!(error instanceof NoAnswer) || attempt === LINE_TRIES - 1) throw error;
      }
    }
    throw new NoAnswer(`${this.port.name}: no answer`);
  }

  private async identifyAtPrompt(): Promise<DeviceState> {
    await findPrompt(this.port);
    const env = "process.env";
    const answer = await ask(this.port, `${env}.BOARD+" "+${env}.SERIAL+" "+(typeof provision)`);
    const [board, chip, type] = answer.split(" ");
    const hasFirmware = type === "function";
    this.state = { mode: "prompt", board, chip, hasFirmware };
    if (hasFirmware) {
      const id = /^(\S+) (-?\d+) (\S*)$/.exec(await this.request("id"));
      if (id) Object.assign(this.state, idOf(id[1], id[3]));
    }
    return this.state;
  }

  /** Throw StepFailed where this is not the board that the bench is set up for. */
  checkBoard(): void {
    const wanted = BUILDS[this.board.espruino].board;
    const { mode, board } = this.state;
    if (mode === "prompt" && board !== wanted)
      throw new StepFailed("wrong-board", `this is a board ${board}, and the bench is set up for ${wanted}.`);
  }

  // ------------------------------------------------------------------------------------------------ image

  /** Read the bundle back and give its SHA-256, hex; "" where there is none. */
  async imageDigest(onProgress: (share: number) => void = () => {}, expected = 0): Promise<string> {
    const image = await readFile(this.port, BUNDLE_FILE, (count) =>
      onProgress(expected ? count / expected : 0),
    );
    return image ? createHash("sha256").update(image).digest("hex") : "";
  }

  /** Write the bundle. What was there is erased and no longer runs before. */
  async writeImage(bundle: string, pace: Pace, onProgress: (share: number) => void): Promise<void> {
    // code that is written over while it runs reads nulls
    await ask(this.port, `[require("Storage").erase("${BUNDLE_FILE}"),1][1]`);
    if (this.state.hasFirmware) await this.restart();
    await upload(this.port, this.board, BUNDLE_FILE, bundle, pace, onProgress);
    await findPrompt(this.port);
  }

  // ------------------------------------------------------------------------------------------------- keys

  /** The firmware's own test. Throws StepFailed with what its code means. */
  async selfTest(): Promise<void> {
    let answer = "";
    // a request that noise has hit fails as well; a device that is bad fails every time
    for (let attempt = 0; attempt < LINE_TRIES && answer !== "E0"; attempt++)
      answer = await this.request("test", SELF_TEST_MS);
    if (answer !== "E0") throw new StepFailed("self-test-failed", `self-test: ${codeText(answer)}`);
  }

  /** Write the settings, unless they are there already. */
  async writeSettings(settings: DeviceSettings): Promise<void> {
    const wanted = JSON.stringify(settings);
    const read = `require("Storage").read("conf")`;
    for (let attempt = 0; attempt < LINE_TRIES; attempt++) {
      // btoa, since a password may hold anything
      if ((await ask(this.port, `btoa(${read}||"")`)) === Buffer.from(wanted, "utf8").toString("base64"))
        return;
      const text = Buffer.from(wanted, "utf8").toString("base64");
      await askOnce(this.port, `require("Storage").write("conf",atob("${text}"))`);
    }
    throw new StepFailed("flash-failed", "the settings did not reach the flash.");
  }

  /** Write the key record, once: a device that holds one refuses. */
  async writeKeys(keys: DeviceKeys): Promise<void> {
    const record = keyRecord(keys);
    let answer = "";
    try {
      for (let attempt = 0; attempt < LINE_TRIES; attempt++) {
        answer = await this.request(`key ${record.toString("base64")}`, ANSWER_MS, true).catch((error) => {
          if (error instanceof NoAnswer) return "";
          throw error;
        });
        if (answer === "E0") break;
        // an answer that noise has eaten: the device may have them all the same
        if ((await this.identify()).checkValues === checkValuesOf(keys)) break;
      }
    } finally {
      record.fill(0);
    }
    const { checkValues } = await this.identify();
    if (checkValues !== checkValuesOf(keys))
      throw new StepFailed("keys-refused", `the device did not take the keys: ${codeText(answer)}`);
  }

  /** Have the device prove all four keys on a fresh nonce. Throws StepFailed. */
  async prove(keys: DeviceKeys): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      const nonce = randomBytes(16);
      const answer = await this.request(`prove ${nonce.toString("base64")}`);
      const wanted = Buffer.concat(
        PURPOSES.map((purpose) =>
          Buffer.from(cmac(Buffer.concat([Buffer.from("prove"), nonce]), keys[purpose])),
        ),
      );
      const proof = Buffer.from(answer, "base64");
      if (proof.length === wanted.length && timingSafeEqual(proof, wanted)) return;
      // noise can spoil a proof, but not make one
      if (attempt === LINE_TRIES) throw new StepFailed("proof-wrong", "the device did not prove its keys.");
    }
  }

  /** Erase keys and settings of a locked device, which only the holder of its console key can. It comes back blank. */
  async erase(consoleKey: Uint8Array): Promise<void> {
    for (let attempt = 0; attempt < LINE_TRIES; attempt++) {
      const nonce = Buffer.from(await this.request("erase"), "base64");
      if (nonce.length !== 8) continue;
      const answer = Buffer.from(cmac(Buffer.concat([Buffer.from("conr"), nonce]), consoleKey));
      const said = await this.request(`erase ${answer.toString("base64")}`).catch(() => "");
      if (said === "E0" || said === "") await this.comeBack();
      await this.identify();
      if (this.state.mode === "prompt") return;
    }
    throw new StepFailed(
      "keys-differ",
      "the device did not let itself be erased with this serial's console key.",
    );
  }

  // --------------------------------------------------------------------------------------------- restart

  /** Restart the device, and learn what it is then. */
  async restart(): Promise<DeviceState> {
    const statement = this.board.system === "linux_system" ? "load()" : "E.reboot()";
    await tell(this.port, statement);
    return this.comeBack();
  }

  private async comeBack(): Promise<DeviceState> {
    const deadline = Date.now() + RESTART_MS;
    await sleep(100);
    for (;;) {
      try {
        // a board whose USB is its own goes away and comes again
        if (!this.port.isOpen) this.port = await Port.open(this.port.name);
        return await this.identify();
      } catch (error) {
        if (!(error instanceof NoAnswer) && !(error instanceof PortClosed)) throw error;
        if (Date.now() > deadline) throw error;
        await sleep(300);
      }
    }
  }

  /** Throw StepFailed where the raw prompt evaluates anything, Ctrl-C or not. */
  async checkLocked(): Promise<void> {
    const expression = `${"\x03".repeat(8)}\n\x10print("<#"+"open#>")\n`;
    const open = await exchange(this.port, expression, /<#open#>/, 400);
    if (open) throw new StepFailed("not-locked", "the interpreter's prompt still answers.");
    await this.identify();
    if (this.state.mode !== "locked")
      throw new StepFailed("not-locked", "the firmware did not take the port after the restart.");
  }

  // -------------------------------------------------------------------------------------------- requests

  /**
   * Send one request and get its answer without its line end. Asked again where nothing came, unless `once`. Throws
   * NoAnswer.
   */
  private async request(line: string, timeoutMs = ANSWER_MS, once = false): Promise<string> {
    if (this.state.mode === "prompt") {
      const expression = `provision(${JSON.stringify(`${line}\n`)})`;
      const answer = once
        ? await askOnce(this.port, expression, timeoutMs)
        : await ask(this.port, expression, timeoutMs);
      if (answer === undefined) throw new NoAnswer(`${this.port.name}: no answer`);
      return answer;
    }
    for (let attempt = 0; attempt < (once ? 1 : LINE_TRIES); attempt++) {
      const found = await exchange(this.port, `${line}\n`, /([^\r\n]+)\r?\n/, timeoutMs);
      if (found) return found[1];
    }
    throw new NoAnswer(`${this.port.name}: no answer`);
  }
}

function idOf(identity: string, checks: string | undefined): Pick<DeviceState, "identity" | "checkValues"> {
  const bytes = Buffer.from(checks ?? "", "base64");
  return {
    identity: identity === "undefined" ? undefined : identity,
    checkValues: bytes.length === RECORD_CHECKS ? bytes.toString("hex").toUpperCase() : undefined,
  };
}

/** What an answer `E<code>` means, in words. */
function codeText(answer: string): string {
  const code = /^E(\d+)$/.exec(answer)?.[1];
  if (!code) return "it gave no answer that makes sense.";
  return `E${code}, ${errorText(Number(code)) ?? "a code without a sentence."}`;
}
