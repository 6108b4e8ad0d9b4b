// One device at the end of a port, as the bench sees it: blank, with the interpreter's prompt open, where the bench works
// with a program that it brings along (firmware/boot/provision.ts); or locked, with the firmware's own lines on the port
// (firmware/console/). What it is, it says itself; nothing is remembered from a run before.
// Keys pass through here on their way to the device, in lines that are neither echoed nor written down.
import { randomBytes, timingSafeEqual } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { cmac } from "@noble/ciphers/aes.js";
import type { Board } from "../../../boards/board";
import { SETTINGS_LIMIT, SETTINGS_PLACE } from "../../../firmware/profile";
import { RECORD_LENGTH } from "../../../firmware/store/key_record";
import { errorText } from "../cli/error_text";
import { CHALLENGE_NONCE_LENGTH, challengeAnswer, decodeBase32, ROLES } from "../console/challenge";
import type { DeviceKeys } from "../custody/master";
import { TREE_LABEL } from "../keys/epoch_tree";
import { KEY_LENGTH, keyRecord, type PskLabel, PURPOSES, proofKey } from "../keys/kdf";
import { KEY_FILE, programIn } from "../ota/layout";
import type { FailureCode } from "./interfaces";
import { Port, PortClosed } from "./port";
import { ask, askOnce, exchange, findPrompt, NoAnswer, PROMPT, readFlash, tell, writeFlash } from "./prompt";

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

const HEADER_LENGTH = 32; // bytes, of a file of Storage
const CHECKS_LENGTH = 12; // bytes
const PROOF_LENGTH = 64; // bytes: a CMAC under each key
const NONCE_LENGTH = 11; // bytes
/** What a reset takes from the challenge to the code, with every try. */
const UNLOCK_MINUTES = 5;
/** The third false answer makes a device wait: a key that is not its own gets no further than this. */
const FALSE_ANSWERS = 2;

/** A cipher in software on the slowest board, sixteen times. */
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
    // the same in all places
    const identity = `(function(s){try{return JSON.parse(s).id}catch(e){}})(require("Storage").read("conf",0,${SETTINGS_LIMIT}))`;
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
    const wanted = this.board.espruino;
    const { mode, board } = this.state;
    if (mode === "prompt" && board !== wanted)
      throw new StepFailed("wrong-board", `this is a board ${board}, and the bench is set up for ${wanted}.`);
  }

  // ------------------------------------------------------------------------------------------------ image

  /** Read pages of Storage over the line, at the prompt, and give the numbers of those that are not the image's. */
  async wrongPages(
    image: Buffer,
    onProgress: (share: number) => void = () => {},
    pages: readonly number[] = this.pagesOf(image),
  ): Promise<number[]> {
    const wrong: number[] = [];
    for (const [i, page] of pages.entries()) {
      const wanted = this.pageOf(image, page);
      const bytes = await readFlash(this.port, this.addressOf(page), wanted.length);
      if (!bytes?.equals(wanted)) wrong.push(page);
      onProgress((i + 1) / pages.length);
    }
    return wrong;
  }

  /**
   * Erase Storage and the journal, of a device that runs nothing afterwards. Throws StepFailed, with nothing changed, where
   * the place for the key record holds something.
   */
  async eraseFlash(): Promise<void> {
    if (this.state.keyFile === "some")
      throw new StepFailed("keys-differ", "this unit holds a key that is no record: erase it at its prompt.");
    const storage = 'require("Storage")';
    const { pageLength, journalStart, journalLength } = this.board;
    const pages = this.board.flashMap.find(({ name }) => name === "storage")?.length ?? 0;
    // what a cut left of an erase has no first header, and one at the start of a page all the same
    const headers =
      `(function(f,n){for(var a=0;a<${pages};a+=${pageLength})n+=E.sum(f.read(4,${this.board.storageStart}+a))!=1020;` +
      `return n})(require("Flash"),0)`;
    const used = `${storage}.list().length+${storage}.getStats().trashBytes+${headers}`;
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
    await ask(
      this.port,
      `(function(f){for(var a=0;a<${2 * journalLength};a+=${pageLength})f.erasePage(${journalStart}+a);return 1})` +
        `(require("Flash"))`,
    );
    // old code must not go on when it has been erased
    if (isErased) await this.restart();
  }

  /** Erase pages of Storage, at once followed by a restart: what ran may have lain there. */
  async erasePages(pages: readonly number[]): Promise<void> {
    const addresses = pages.map((page) => this.addressOf(page));
    await tell(this.port, `[${addresses}].forEach(require("Flash").erasePage);${this.restartCode}`);
    await this.comeBack();
  }

  /** Tell whether Storage is laid out as the image's up to its slots, whatever has become of the place for the key record. */
  async isLaidOut(image: Buffer): Promise<boolean> {
    const { storageStart, slotsStart } = this.board;
    const wanted = image.subarray(HEADER_LENGTH + RECORD_LENGTH, slotsStart - storageStart);
    const bytes = await readFlash(this.port, slotsStart - wanted.length, wanted.length);
    return bytes?.equals(wanted) ?? false;
  }

  /** Numbers of the pages in which the slots of the image lie. */
  slotPages(image: Buffer): number[] {
    const { slotsStart, slotBytes } = this.board;
    const isSlot = (page: number) =>
      this.addressOf(page) >= slotsStart && this.addressOf(page) < slotsStart + 2 * slotBytes;
    return this.pagesOf(image).filter(isSlot);
  }

  /** Write pages of the image into erased flash; read them back to know what arrived. */
  async writePages(
    image: Buffer,
    onProgress: (share: number) => void = () => {},
    pages: readonly number[] = this.pagesOf(image),
  ): Promise<void> {
    for (const [i, page] of pages.entries()) {
      const bytes = this.pageOf(image, page);
      await writeFlash(this.port, this.addressOf(page), bytes, (share) =>
        onProgress((i + share) / pages.length),
      );
    }
  }

  private pagesOf(image: Buffer): number[] {
    return Array.from({ length: Math.ceil(image.length / this.board.pageLength) }, (_, page) => page);
  }

  private pageOf(image: Buffer, page: number): Buffer {
    const { pageLength } = this.board;
    return image.subarray(page * pageLength, (page + 1) * pageLength);
  }

  private addressOf(page: number): number {
    return this.board.storageStart + page * this.board.pageLength;
  }

  // ------------------------------------------------------------------------------- the bench's own program

  /** Tell whether the image's program is there: an update may have gone over it. */
  async hasProgram(image: Buffer): Promise<boolean> {
    const program = this.programOf(image);
    const sum = program.reduce((total, byte) => total + byte, 0);
    const address = this.board.slotsStart + this.board.slotBytes;
    return (await ask(this.port, `E.sum(require("Flash").read(${program.length},${address}))`)) === `${sum}`;
  }

  /** Start the program that tests and takes keys. What it prints is kept, to be asked for with a checksum. */
  async startProgram(image: Buffer): Promise<void> {
    const keep = 'global.bench="",global.print=function(s){global.bench+=s}';
    const start = `eval(${programIn(this.board, this.programOf(image).length)})`;
    if ((await ask(this.port, `[${keep},${start},typeof provision].pop()`)) !== "function")
      throw new StepFailed("self-test-failed", "the bench's program does not start on the device.");
  }

  /** The program is what the image ends with. */
  private programOf(image: Buffer): Buffer {
    const { slotsStart, storageStart, slotBytes } = this.board;
    return image.subarray(slotsStart - storageStart + slotBytes);
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

  /** Read the settings that count as they lie in their place of `conf` (firmware/store/settings.ts); empty where there are none. */
  async readSettings(): Promise<Buffer> {
    const newest =
      `(function(s,a){while((a-=${SETTINGS_PLACE})&&s.read("conf",a+${SETTINGS_LIMIT},1)!="\\n");` +
      `return s.read("conf",a,${SETTINGS_LIMIT})||""})`;
    const found = await ask(this.port, `btoa(${newest}(require("Storage"),${this.board.settingsLength}))`);
    const place = Buffer.from(found, "base64");
    // a file made by hand has no places
    const rest = place.length ? SETTINGS_LIMIT - place.length : 0;
    return Buffer.concat([place, Buffer.alloc(rest, " ")]);
  }

  /** Write the file `conf` with a place of settings (scripts/lib/bench/settings_file.ts), unless they count already. */
  async writeSettings(place: Buffer): Promise<void> {
    // a password may hold anything
    const wanted = `atob("${place.toString("base64")}")`;
    for (let attempt = 0; attempt < TRIES; attempt++) {
      if ((await this.readSettings()).equals(place)) return;
      await askOnce(this.port, `require("Storage").write("conf",${wanted},0,${this.board.settingsLength})`);
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

  /**
   * Have the device prove all four keys on a fresh nonce. Throws StepFailed. Of a tree of epochs zeros are proved where its first session has
   * been: then the root is gone, whose check value the device held when it took it.
   */
  async prove(keys: DeviceKeys, pskLabel: PskLabel = "psk"): Promise<void> {
    const sets = [keys];
    if (pskLabel === TREE_LABEL) sets.push({ ...keys, psk: Buffer.alloc(KEY_LENGTH) });
    // of one nonce the answer to an earlier try proves as much, should it come late
    const nonce = randomBytes(NONCE_LENGTH);
    for (let attempt = 0; attempt < TRIES; attempt++) {
      const found = await exchange(this.port, `prove ${nonce.toString("base64")}\n`, STATUS, PROVE_MS);
      const proof = Buffer.from(found?.[3] ?? "", "base64").subarray(CHECKS_LENGTH);
      const message = Buffer.concat([Buffer.from("prove"), nonce]);
      // older firmware proves them by themselves
      for (const set of sets)
        for (const keyOf of [proofKey, (key: Uint8Array) => key]) {
          const wanted = Buffer.concat(PURPOSES.map((purpose) => cmac(message, keyOf(set[purpose]))));
          // noise can spoil a proof, but not make one
          if (proof.length === PROOF_LENGTH && timingSafeEqual(proof, wanted)) return;
        }
    }
    throw new StepFailed("proof-wrong", "the device did not prove its keys.");
  }

  /** Ask which epoch is next in the device's tree; undefined: it does not say. */
  async nextEpoch(): Promise<number | undefined> {
    const found = await exchange(this.port, "\njson off\nstatus\n", /epoch:(\d+)\r?\n/, PROVE_MS);
    return found ? Number(found[1]) : undefined;
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
    await tell(this.port, this.restartCode);
    return this.comeBack();
  }

  private get restartCode(): string {
    return this.board.system === "linux_system" ? "load()" : "E.reboot()";
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
