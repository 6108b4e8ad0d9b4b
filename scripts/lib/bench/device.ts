// One device at the end of a port, as the bench sees it: blank, with the interpreter's prompt open, where the bench works
// with a program that it brings along (firmware/provision.ts); or locked, with the firmware's own lines on the port
// (firmware/console/). What it is, it says itself; nothing is remembered from a run before.
// Keys pass through here on their way to the device, in lines that are neither echoed nor written down.
import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { cmac } from "@noble/ciphers/aes.js";
import type { Board } from "../../../boards/board";
import { BUILDS } from "../../../hal/simulator/builds";
import { BUNDLE_FILE } from "../build";
import { CHALLENGE_NONCE_LENGTH, challengeAnswer, decodeBase32, ROLES } from "../challenge";
import type { DeviceKeys } from "../custody/master";
import { errorText } from "../error_text";
import { keyCheckValue, PURPOSES } from "../keys";
import type { FailureCode } from "./interfaces";
import { Port, PortClosed } from "./port";
import { ask, askOnce, exchange, findPrompt, NoAnswer, PROMPT, readFile, tell } from "./prompt";
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
  /** At the prompt, the file `key`: not there, erased bytes, or something. Its contents never leave the device. */
  keyFile?: "none" | "erased" | "some";
  /** Of `conf`. */
  identity?: string;
  /** When locked: the four check values, 24 hex digits. */
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

/** The Storage files that the bench writes, in their order. The place for the key record comes before them. */
export type ImageFiles = Readonly<Record<string, string>>;

export const KEY_FILE = "key";
export const RECORD_LENGTH = 76; // bytes: four keys of 16, their check values of 3
export const PROVISION_FILE = "provision";
const CHECKS_LENGTH = 12; // bytes
const PROOF_LENGTH = 64; // bytes: a CMAC under each key
const NONCE_LENGTH = 11; // bytes
/** What a reset takes from the challenge to the code, with every try. */
const UNLOCK_MINUTES = 5;
/** The third false answer makes a device wait: a key that is not its own gets no further than this. */
const FALSE_ANSWERS = 2;

/** A cipher in software on the slowest board, eight times. */
const PROVE_MS = 4000;
/** The radio is part of the test, and an access point may take its time. */
const SELF_TEST_MS = 180_000;
/** Its part without the radio: a cipher and hashes in the interpreter, and one flash page. */
const TEST_START_MS = 5000;
/** Erasing all of Storage: the largest has 224 pages, at 45 ms typically (W25Q32). */
const ERASE_MS = 40_000;
const RESTART_MS = 10_000;
const TRIES = 4;

const CHALLENGE = /boots:(\d+)\r?\nnonce:([0-9A-Z]{13})\r?\n/;
const CODE = /(?:^|[\r\n])E(\d+)\r?\n/;
const STATUS = /(?:^|[\r\n])(\S+) (-?\d+) ([A-Za-z0-9+/]{102}==)\r?\n/;

/** The check values of four keys as the device reports them: hex, in the order of the record. */
export function checkValuesOf(keys: DeviceKeys): string {
  return PURPOSES.map((purpose) => keyCheckValue(keys[purpose])).join("");
}

/** The key record: four keys of 16 bytes, then their check values. */
export function keyRecord(keys: DeviceKeys): Buffer {
  const checks = Buffer.from(checkValuesOf(keys), "hex");
  return Buffer.concat([...PURPOSES.map((purpose) => keys[purpose]), checks]);
}

/** SHA-256, hex. */
export function digestOf(bytes: Buffer | string): string {
  return createHash("sha256")
    .update(typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes)
    .digest("hex");
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
    let last = "";
    for (let attempt = 0; attempt < TRIES; attempt++) {
      // ends whatever noise may have left in the firmware's line
      await exchange(this.port, "\n", /\n/, 100);
      const either = new RegExp(`${STATUS.source}|${PROMPT.source}`);
      const found = await exchange(this.port, "prove\n", either, PROVE_MS / 4);
      if (found?.[3] !== undefined) {
        // twice the same: what noise has hit is not
        const said = `${found[1]} ${found[3]}`;
        if (said === last) return (this.state = lockedState(found[1], found[3]));
        last = said;
      } else if (found || attempt > 0) {
        const state = await this.identifyAtPrompt().catch((error) => {
          if (!(error instanceof NoAnswer) || attempt === TRIES - 1) throw error;
        });
        if (state) return (this.state = state);
      }
    }
    throw new NoAnswer(`${this.port.name}: no answer`);
  }

  private async identifyAtPrompt(): Promise<DeviceState> {
    await findPrompt(this.port);
    const keyFile =
      `(function(f){if(!f)return "none";for(var i=0;i<f.length;i++)if(f.charCodeAt(i)!=255)return "some";` +
      `return "erased"})(require("Storage").read("${KEY_FILE}"))`;
    const identity = `(require("Storage").readJSON("conf",1)||{}).id`;
    const answer = await ask(
      this.port,
      `[process.env.BOARD,process.env.SERIAL,${keyFile},${identity}].join(" ")`,
    );
    const [board, chip, key, id] = answer.split(" ");
    return {
      mode: "prompt",
      board,
      chip,
      keyFile: key as DeviceState["keyFile"],
      identity: id === "" || id === "undefined" ? undefined : id,
    };
  }

  /** Throw StepFailed where this is not the board that the bench is set up for. */
  checkBoard(): void {
    const wanted = BUILDS[this.board.espruino].board;
    const { mode, board } = this.state;
    if (mode === "prompt" && board !== wanted)
      throw new StepFailed("wrong-board", `this is a board ${board}, and the bench is set up for ${wanted}.`);
  }

  // ------------------------------------------------------------------------------------------------ image

  /** Read the files back over the line, at the prompt; names with the SHA-256 of what is there, "" for nothing. */
  async readDigests(
    files: ImageFiles,
    onProgress: (share: number) => void = () => {},
  ): Promise<Record<string, string>> {
    const total = lengthOf(files);
    const digests: Record<string, string> = {};
    let before = 0;
    for (const [name, data] of Object.entries(files)) {
      const bytes = await readFile(this.port, name, (count) => onProgress((before + count) / total));
      digests[name] = bytes ? digestOf(bytes) : "";
      before += data.length;
    }
    return digests;
  }

  /**
   * Make Storage ready for an image: all of it erased, then the place for the key record as its first file, so that
   * the record is one write into erased flash. Never where something is in that place.
   */
  async prepareStorage(): Promise<void> {
    if (this.state.keyFile === "some") return;
    const storage = 'require("Storage")';
    const erased = Buffer.alloc(RECORD_LENGTH, 0xff).toString("base64");
    // old code must not run while it is erased, hence the restart
    const used = `${storage}.list().length+${storage}.getStats().trashBytes`;
    const deadline = Date.now() + ERASE_MS;
    let isErased = false;
    while ((await ask(this.port, used)) !== "0") {
      if (Date.now() > deadline) throw new StepFailed("flash-failed", "Storage could not be erased.");
      await tell(this.port, `${storage}.eraseAll()`);
      isErased = true;
      // it answers nothing while it erases
      while (Date.now() < deadline) {
        const isBack = await findPrompt(this.port).then(
          () => true,
          () => false,
        );
        if (isBack) break;
      }
    }
    if (isErased) await this.restart();
    for (let attempt = 0; attempt < TRIES; attempt++) {
      await ask(this.port, `${storage}.write("${KEY_FILE}",atob("${erased}"))`);
      this.state = await this.identifyAtPrompt();
      if (this.state.keyFile === "erased") return;
      // noise came in between: of what was just erased and holds no key, nothing is lost
      await ask(this.port, `[${storage}.erase("${KEY_FILE}"),1][1]`);
    }
    throw new StepFailed("flash-failed", "the place for the keys did not reach the flash.");
  }

  /** Take the firmware away, so that no code runs while it is written over. Keys and settings stay. */
  async stopFirmware(): Promise<void> {
    await ask(this.port, `[require("Storage").erase("${BUNDLE_FILE}"),1][1]`);
    await this.restart();
  }

  /** Upload files; read them back to know what arrived. */
  async writeFiles(files: ImageFiles, pace: Pace, onProgress: (share: number) => void): Promise<void> {
    await upload(this.port, this.board, files, pace, onProgress);
    await findPrompt(this.port);
  }

  // ------------------------------------------------------------------------------- the bench's own program

  /** Tell whether the program is there. */
  async hasProgram(): Promise<boolean> {
    return (await ask(this.port, `(require("Storage").read("${PROVISION_FILE}")||"").length`)) !== "0";
  }

  /** Start the program that tests and takes keys. What it prints is kept, to be asked for with a checksum. */
  async startProgram(): Promise<void> {
    const keep = 'global.bench="",global.print=function(s){global.bench+=s}';
    const start = `eval(require("Storage").read("${PROVISION_FILE}"))`;
    if ((await ask(this.port, `[${keep},${start},typeof provision].pop()`)) !== "function")
      throw new StepFailed("self-test-failed", "the bench's program does not start on the device.");
  }

  /** The device's own test. Throws StepFailed with what its code means. */
  async selfTest(): Promise<void> {
    let answer = "";
    // what noise did to the request is not the board's fault; a board that is bad fails twice
    for (let attempt = 0; attempt < 2 && answer !== "E0"; attempt++) {
      await ask(this.port, `[global.bench="",provision("test"),1][2]`, TEST_START_MS);
      const deadline = Date.now() + SELF_TEST_MS;
      answer = "";
      while (answer === "" && Date.now() < deadline) {
        // started twice, where its start had to be asked for again
        answer = (await ask(this.port, "global.bench")).replace(/^(E0)+$/, "E0");
        if (answer === "") await sleep(100);
      }
    }
    if (answer !== "E0") throw new StepFailed("self-test-failed", codeText(answer));
  }

  /** Write the settings, unless they are there already. */
  async writeSettings(settings: DeviceSettings): Promise<void> {
    // base64, since a password may hold anything
    const wanted = Buffer.from(JSON.stringify(settings), "utf8").toString("base64");
    const storage = 'require("Storage")';
    for (let attempt = 0; attempt < TRIES; attempt++) {
      if ((await ask(this.port, `btoa(${storage}.read("conf")||"")`)) === wanted) {
        this.state.identity = settings.id;
        return;
      }
      await askOnce(this.port, `${storage}.write("conf",atob("${wanted}"))`);
    }
    throw new StepFailed("flash-failed", "the settings did not reach the flash.");
  }

  /** Write the key record, once: a device that holds one refuses. That it took it is known from its answer. */
  async writeKeys(keys: DeviceKeys): Promise<void> {
    const record = keyRecord(keys);
    try {
      const request = JSON.stringify(`key ${record.toString("base64")}`);
      for (let attempt = 0; attempt < TRIES; attempt++) {
        const answer = await askOnce(this.port, `[global.bench="",provision(${request}),global.bench][2]`);
        if (answer === "E0") return;
        await findPrompt(this.port);
        this.state = await this.identifyAtPrompt();
        // the answer was lost, and the record is in: after the restart it shows whose it is
        if (this.state.keyFile === "some") return;
        if (attempt === TRIES - 1)
          throw new StepFailed("keys-refused", `the device did not take the keys: ${codeText(answer ?? "")}`);
      }
    } finally {
      record.fill(0);
    }
  }

  // ----------------------------------------------------------------------------------------------- locked

  /** Have the device prove all four keys on a fresh nonce. Throws StepFailed. */
  async prove(keys: DeviceKeys): Promise<void> {
    for (let attempt = 0; attempt < TRIES; attempt++) {
      const nonce = randomBytes(NONCE_LENGTH);
      const found = await exchange(this.port, `prove ${nonce.toString("base64")}\n`, STATUS, PROVE_MS);
      const proof = Buffer.from(found?.[3] ?? "", "base64").subarray(CHECKS_LENGTH);
      const message = Buffer.concat([Buffer.from("prove"), nonce]);
      const wanted = Buffer.concat(PURPOSES.map((purpose) => cmac(message, keys[purpose])));
      // noise can spoil a proof, but not make one
      if (proof.length === PROOF_LENGTH && timingSafeEqual(proof, wanted)) return;
    }
    throw new StepFailed("proof-wrong", "the device did not prove its keys.");
  }

  /** Erase keys and settings, which only the holder of the device's console key can. It comes back blank. */
  async erase(consoleKey: Uint8Array): Promise<void> {
    for (let attempt = 0, wrong = 0; attempt < TRIES && wrong < FALSE_ANSWERS; attempt++) {
      const found = await exchange(this.port, "\njson off\nunlock\n", CHALLENGE, PROVE_MS);
      const nonce = decodeBase32(found?.[2] ?? "");
      if (nonce?.length !== CHALLENGE_NONCE_LENGTH) continue;
      const challenge = {
        role: ROLES.reset,
        nonce,
        boots: Number(found?.[1]) & 0xffffff,
        minutes: UNLOCK_MINUTES,
      };
      const request = `unlock ${ROLES.reset} ${UNLOCK_MINUTES} ${challengeAnswer(consoleKey, challenge)}\n`;
      const opened = await exchange(this.port, request, CODE, PROVE_MS);
      if (opened?.[1] !== "0") {
        wrong++;
        continue;
      }
      const code = await exchange(this.port, "factory\n", /code:([0-9A-Z]{4})\r?\n/, PROVE_MS);
      if (!code) continue;
      // a wrong code is answered, the right one brings silence
      const refused = await exchange(this.port, `factory ${code[1]}\n`, CODE, 300);
      if (!refused || attempt === TRIES - 1) await this.comeBack();
      if (this.state.mode === "prompt") return;
    }
    throw new StepFailed(
      "keys-differ",
      "the device did not let itself be erased with this serial's console key.",
    );
  }

  /** Throw StepFailed where the raw prompt evaluates anything, Ctrl-C or not. */
  async checkLocked(): Promise<void> {
    const probe = `${"\x03".repeat(8)}\n\x10print("<#"+"open#>")\n`;
    if (await exchange(this.port, probe, /<#open#>/, 400))
      throw new StepFailed("not-locked", "the interpreter's prompt still answers.");
    await this.identify();
    if (this.state.mode !== "locked")
      throw new StepFailed("not-locked", "the firmware did not take the port after the restart.");
  }

  // ---------------------------------------------------------------------------------------------- restart

  /** Restart a device at its prompt, and learn what it is then. */
  async restart(): Promise<DeviceState> {
    await tell(this.port, this.board.system === "linux_system" ? "load()" : "E.reboot()");
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
}

function lengthOf(files: ImageFiles): number {
  return Object.values(files).reduce((sum, { length }) => sum + length, 0);
}

function lockedState(identity: string, answer: string): DeviceState {
  const checks = Buffer.from(answer, "base64").subarray(0, CHECKS_LENGTH);
  return {
    mode: "locked",
    identity: identity === "undefined" ? undefined : identity,
    checkValues: checks.toString("hex").toUpperCase(),
  };
}

/** What an answer `E<code>` means, in words. */
function codeText(answer: string): string {
  const code = /^E(\d+)$/.exec(answer)?.[1];
  if (!code) return "it gave no answer that makes sense.";
  return `E${code}, ${errorText(Number(code)) ?? "a code without a sentence."}`;
}
