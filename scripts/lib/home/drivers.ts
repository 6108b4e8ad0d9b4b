// The drivers' contract on the chip itself, from outside and from RAM (firmware/boot/drivers.ts): known answers through the register
// drivers, blocks by the hundred with the radio on, flash rules on a page that nobody uses, the socket against an echo,
// the watchdog's reset, the clock over a restart, noise with the radio off and on. What stands in flash stays as it is.
// Leaves out what a person has to look at: an antenna, a cable.
import { createCipheriv, createHash, randomBytes } from "node:crypto";
import { type AddressInfo, createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import type { Board } from "../../../boards/board";
import { CBC_DECRYPT, CBC_ENCRYPT, ECB_ENCRYPT, NETWORK_UP, NOISE_DEAD } from "../../../hal/hal";
import { Port, PortClosed } from "../bench/port";
import { ask, findPrompt, NoAnswer, tell } from "../bench/prompt";
import { buildBundle } from "../bundle/build";
import { errorText } from "../cli/error_text";

/** What one look at the chip found: `isGood` undefined where it could not be looked at. */
export interface DriverFinding {
  name: string;
  isGood: boolean | undefined;
  text: string;
  seconds: number;
}

export interface DriverOptions {
  board: Board;
  /** The network that the board joins; without a name noise and socket are looked at only where none is needed. */
  ssid?: string;
  password?: string;
  /** Address of this machine as the board reaches it, for the echo. */
  host?: string;
  /** Blocks of AES in a chain. */
  blocks?: number;
  /** Bytes of raw noise to keep; 0 where absent. */
  noiseBytes?: number;
  onFinding?(finding: DriverFinding): void;
  onProgress?(name: string, share: number): void;
}

export interface DriverReport {
  findings: DriverFinding[];
  /** Raw noise as it was read, with the radio on. */
  noise: Buffer;
}

/** A look that could not be taken, with the reason. */
class NotLooked extends Error {}

const JOIN_MS = 60_000;
const RESTART_MS = 20_000;
const ECHO_MS = 10_000;
/** Seconds of the watchdog that is left to bite: fewer than the firmware's own. */
const WATCHDOG_S = 2;
const AES_BLOCKS = 2000;
/** Blocks and bytes in one question: the answer takes well under a second on the slowest chip. */
const BLOCKS_AT_ONCE = 25;
const NOISE_AT_ONCE = 256;
const SAMPLES = 1024;

/** Look at all of it, one after the other. Throws NoAnswer and PortClosed where the board goes away for good. */
export async function examineDrivers(port: Port, options: DriverOptions): Promise<DriverReport> {
  return new Examiner(port, options).run();
}

class Examiner {
  private readonly findings: DriverFinding[] = [];
  private noise: Buffer = Buffer.alloc(0);

  constructor(
    private port: Port,
    private readonly options: DriverOptions,
  ) {}

  async run(): Promise<DriverReport> {
    const { board } = this.options;
    await this.load();
    await this.look("AES, known answers", () => this.knownAes());
    await this.look("hashes, known answers", () => this.knownHashes());
    await this.look("flash", () => this.flashRules());
    await this.look("noise, radio off", () => this.noiseOff());
    await this.look("network", () => this.join());
    await this.look("noise, radio on", () => this.noiseOn());
    await this.look(`AES, ${this.blocks} blocks in a chain`, () => this.chainedAes());
    await this.look("socket against an echo", () => this.echo());
    await this.look("clock over a restart", () => this.clock());
    await this.look("watchdog", () => this.watchdog());
    if (board.randomSource !== "system_random")
      await this.look("noise after a restart, radio off", () => this.noiseCourse());
    return { findings: this.findings, noise: this.noise };
  }

  private get blocks(): number {
    return this.options.blocks ?? AES_BLOCKS;
  }

  private async look(name: string, what: () => Promise<string>): Promise<void> {
    const startedAt = performance.now();
    let isGood: boolean | undefined = true;
    let text: string;
    try {
      text = await what();
    } catch (error) {
      if (error instanceof PortClosed) throw error;
      isGood = error instanceof NotLooked ? undefined : false;
      text = (error as Error).message;
    }
    const finding = { name, isGood, text, seconds: (performance.now() - startedAt) / 1000 };
    this.findings.push(finding);
    this.options.onFinding?.(finding);
  }

  private ask(expression: string, timeoutMs?: number): Promise<string> {
    return ask(this.port, expression, timeoutMs);
  }

  /** Ask for bytes. What the drivers throw is a number. */
  private async bytes(expression: string, timeoutMs = 5000): Promise<Buffer> {
    const answer = await this.ask(
      `(function(){try{return btoa(E.toString(${expression}))}catch(e){return "E"+e}})()`,
      timeoutMs,
    );
    const code = /^E(\d+)$/.exec(answer)?.[1];
    if (code) throw new Error(`E${code}: ${errorText(Number(code)) ?? "a code without a sentence."}`);
    if (answer.startsWith("E") && answer.includes(" ")) throw new Error(answer.slice(1));
    return Buffer.from(answer, "base64");
  }

  /** Bring the program into RAM, in pieces. */
  private async load(): Promise<void> {
    const { code } = await buildBundle({ board: this.options.board.name, entry: "firmware/boot/drivers.ts" });
    await findPrompt(this.port);
    await this.ask('[global.halCode=""].length');
    const bytes = Buffer.from(code, "latin1");
    for (let at = 0; at < bytes.length; at += 256) {
      const piece = bytes.subarray(at, at + 256).toString("base64");
      // a piece that came and whose answer was lost is not added again
      const length = await this.ask(
        `[global.halCode=halCode.substr(0,${at})+atob("${piece}"),halCode.length][1]`,
      );
      if (length !== String(Math.min(bytes.length, at + 256)))
        throw new NoAnswer("the program did not arrive");
    }
    if ((await this.ask("[eval(halCode),delete global.halCode,typeof hal].pop()")) !== "object")
      throw new NoAnswer(`${this.port.name}: the drivers' program does not start`);
  }

  // ------------------------------------------------------------------------------------------ ciphers, hashes

  private async aes(mode: number, key: Buffer, data: Buffer, iv?: Buffer): Promise<Buffer> {
    const [k, d, v] = [key, data, iv].map((bytes) => bytes && atobOf(bytes));
    return this.bytes(`hal.aes(${mode},${k},${d}${v ? `,${v}` : ""})`);
  }

  private async knownAes(): Promise<string> {
    // FIPS 197, C.1; SP 800-38A, F.2.1: and the same with keys that nobody knows yet
    const cases = [
      { key: "000102030405060708090a0b0c0d0e0f", data: "00112233445566778899aabbccddeeff" },
      { key: "2b7e151628aed2a6abf7158809cf4f3c", data: "6bc1bee22e409f96e93d7e117393172a".repeat(4) },
      ...Array.from({ length: 4 }, () => ({
        key: randomBytes(16).toString("hex"),
        data: randomBytes(64).toString("hex"),
      })),
    ].map(({ key, data }) => ({ key: Buffer.from(key, "hex"), data: Buffer.from(data, "hex") }));
    const canDecrypt = (await this.ask("hal.canDecrypt")) === "true";
    for (const { key, data } of cases) {
      const iv = randomBytes(16);
      const encrypted = cipher("aes-128-cbc", key, iv, data);
      equal(await this.aes(ECB_ENCRYPT, key, data), cipher("aes-128-ecb", key, null, data), "ECB");
      equal(await this.aes(CBC_ENCRYPT, key, data, iv), encrypted, "CBC, encrypting");
      if (canDecrypt) equal(await this.aes(CBC_DECRYPT, key, encrypted, iv), data, "CBC, decrypting");
    }
    return `${cases.length} keys right, ${canDecrypt ? "both ways" : "encrypting alone"}`;
  }

  private async knownHashes(): Promise<string> {
    let count = 0;
    for (const length of [0, 3, 55, 56, 64, 119, 200]) {
      const data = randomBytes(length);
      for (const [size, name] of [
        [20, "sha1"],
        [32, "sha256"],
      ] as const) {
        const found = await this.bytes(`hal.finish(${size},hal.update(${size},"",${atobOf(data)}))`);
        equal(found, createHash(name).update(data).digest(), `${name} of ${length} bytes`);
        count++;
      }
    }
    return `${count} digests right`;
  }

  /** One false answer anywhere shows in all that follow. */
  private async chainedAes(): Promise<string> {
    const key = randomBytes(16);
    let data: Buffer = randomBytes(16);
    for (let done = 0; done < this.blocks; done += BLOCKS_AT_ONCE) {
      const found = await this.bytes(
        `(function(k,d){for(var i=0;i<${BLOCKS_AT_ONCE};i++)d=E.toString(hal.aes(0,k,d));return d})(${atobOf(key)},${atobOf(data)})`,
        10_000,
      );
      for (let i = 0; i < BLOCKS_AT_ONCE; i++) data = cipher("aes-128-ecb", key, null, data);
      equal(found, data, `one of the blocks ${done + 1} to ${done + BLOCKS_AT_ONCE}`);
      this.options.onProgress?.("AES", done / this.blocks);
    }
    return `${this.blocks} right`;
  }

  // ------------------------------------------------------------------------------------------------------ flash

  private async flashRules(): Promise<string> {
    const { journalStart, journalLength, pageLength, writeLength } = this.options.board;
    const page = journalStart + 2 * journalLength - pageLength;
    const flash = (call: string) => this.ask(`(function(f){return ${call}})(require("Flash"))`, 5000);
    const sum = () => flash(`E.sum(f.read(${pageLength},${page}))`);
    const erased = String(255 * pageLength);
    if ((await sum()) !== erased)
      throw new NotLooked("the journal's last page is in use; nothing was tried on it.");
    const read = (offset: number) => this.bytes(`require("Flash").read(16,${page + offset})`);
    const write = (bytes: Buffer, offset: number) =>
      this.ask(`[require("Flash").write(E.toUint8Array(${atobOf(bytes)}),${page + offset}),1][1]`);
    try {
      const first = randomBytes(16);
      await write(first, 0);
      equal(await read(0), first, "what was written");
      // bits that are 0 stay 0: how a mark behind a record works
      const cleared = Buffer.from(first.map((byte) => byte & 0x0f));
      await write(cleared, 0);
      equal(await read(0), cleared, "bits cleared in what was written");
      await write(randomBytes(writeLength), 64 + writeLength);
      equal(await read(64 - 16), Buffer.alloc(16, 0xff), "the bytes before a write");
      await flash(`[f.erasePage(${page}),1][1]`);
      if ((await sum()) !== erased) throw new Error("an erased page is not all ones.");
    } finally {
      await flash(`[f.erasePage(${page}),1][1]`);
    }
    return `writes, second writes and an erase are as NOR flash has them, ${writeLength} bytes a unit`;
  }

  // -------------------------------------------------------------------------------------------- noise, network

  private async sample(length: number): Promise<Buffer> {
    const pieces: Buffer[] = [];
    for (let at = 0; at < length; at += NOISE_AT_ONCE) {
      pieces.push(await this.bytes(`hal.noise(${Math.min(NOISE_AT_ONCE, length - at)})`, 5000));
      this.options.onProgress?.("noise", at / length);
    }
    return Buffer.concat(pieces).subarray(0, length);
  }

  private offSample: Buffer | undefined;

  private async noiseOff(): Promise<string> {
    try {
      this.offSample = await this.sample(64);
    } catch (error) {
      if (!(error as Error).message.startsWith(`E${NOISE_DEAD}:`)) throw error;
      return "refused without the radio, as it should be: the register runs a fixed course then";
    }
    return `64 bytes kept, to be compared after a restart: ${statistics(this.offSample)}`;
  }

  private async noiseCourse(): Promise<string> {
    if (!this.offSample) throw new NotLooked("the driver gives none without the radio.");
    const again = await this.sample(64);
    if (this.offSample.equals(again))
      return "the same as before: with the radio off it runs a fixed course, so nothing may be drawn from it then";
    return `other than before: ${statistics(again)}`;
  }

  private async noiseOn(): Promise<string> {
    const bytes = await this.sample(SAMPLES);
    const text = statistics(bytes);
    if (new Set(bytes).size < 64) throw new Error(`hardly any value comes: ${text}`);
    this.noise = bytes;
    if (this.options.noiseBytes) this.noise = await this.sample(this.options.noiseBytes);
    return text;
  }

  private async join(): Promise<string> {
    const { ssid, password, board } = this.options;
    if (!ssid && board.network === "esp_wifi")
      throw new NotLooked("no --ssid was given: the radio stays off, and what follows is without it.");
    const settings = `JSON.parse(atob("${Buffer.from(JSON.stringify({ ssid, pass: password })).toString("base64")}"))`;
    await this.ask(`[global.up=0,hal.networkUp(${settings},function(e){global.up=e}),1][2]`, 10_000);
    const deadline = Date.now() + JOIN_MS;
    while (Date.now() < deadline) {
      const up = await this.ask("up", 5000);
      if (up === String(NETWORK_UP)) return `up, address ${await this.ask("hal.networkAddress()")}`;
      if (up !== "0") throw new Error(`E${up}: ${errorText(Number(up)) ?? "it did not come up."}`);
      await sleep(200);
    }
    throw new Error(`it did not come up in ${JOIN_MS / 1000} s.`);
  }

  private async echo(): Promise<string> {
    const { host } = this.options;
    if (!host) throw new NotLooked("no --host was given: the board does not know where this machine is.");
    const server = createServer((socket) => socket.pipe(socket).on("error", () => {}));
    await new Promise<void>((listening) => server.listen(0, host, listening));
    const { port } = server.address() as AddressInfo;
    const data = randomBytes(1200);
    try {
      await this.ask(
        `[global.came="",global.over=0,global.tcp=hal.tcpConnect({host:${JSON.stringify(host)},port:${port}},function(e){` +
          `if(typeof e=="string")global.came+=e;else if(e===true||e===false)global.over=1;else global.over=2}),1][3]`,
        10_000,
      );
      await this.eventually("over==2", "the connection did not open");
      for (let at = 0; at < data.length; at += 300)
        await this.ask(`[tcp.write(${atobOf(data.subarray(at, at + 300))}),1][1]`);
      await this.eventually(`came.length>=${data.length}`, "what was sent did not come back");
      const found = Buffer.concat([
        await this.bytes("came.substr(0,600)"),
        await this.bytes("came.substr(600)"),
      ]);
      equal(found, data, "what came back");
      await this.ask("[tcp.end(),1][1]");
      await this.eventually("over==1", "the connection did not close");
      return `${data.length} bytes there and back`;
    } finally {
      server.close();
    }
  }

  private async eventually(condition: string, fault: string): Promise<void> {
    const deadline = Date.now() + ECHO_MS;
    while ((await this.ask(`${condition}?1:0`)) !== "1") {
      if (Date.now() > deadline) throw new Error(`${fault} in ${ECHO_MS / 1000} s.`);
      await sleep(50);
    }
  }

  // --------------------------------------------------------------------------------------------------- restarts

  private async clock(): Promise<string> {
    const before = Number(await this.ask("getTime()"));
    await this.restart(this.options.board.system === "linux_system" ? "load()" : "E.reboot()");
    const after = Number(await this.ask("getTime()"));
    return after < before
      ? "begins anew"
      : `goes on over a restart (${before.toFixed(1)} s before, ${after.toFixed(1)} s after): it is no time since the start`;
  }

  private async watchdog(): Promise<string> {
    const { board } = this.options;
    if (board.system === "linux_system")
      throw new NotLooked("this runs on an operating system and has none.");
    const startedAt = performance.now();
    await this.restart(`E.enableWatchdog(${WATCHDOG_S},true);for(;;);`);
    const cause = await this.ask("hal.resetCause()");
    return `a program that hangs ended after ${((performance.now() - startedAt) / 1000).toFixed(1)} s, reset cause ${cause}`;
  }

  /** Have it start anew, wait for its prompt, bring the program again. */
  private async restart(statement: string): Promise<void> {
    await tell(this.port, statement);
    const deadline = Date.now() + RESTART_MS;
    await sleep(300);
    for (;;) {
      try {
        if (!this.port.isOpen) this.port = await Port.open(this.port.name);
        await findPrompt(this.port);
        break;
      } catch (error) {
        if (!(error instanceof NoAnswer) && !(error instanceof PortClosed)) throw error;
        if (Date.now() > deadline) throw new Error("it did not come back.");
        await sleep(300);
      }
    }
    // what hangs is not what has started anew
    if ((await this.ask("typeof hal")) !== "undefined") throw new Error("it did not start anew.");
    await this.load();
  }
}

function atobOf(bytes: Buffer): string {
  return `atob("${bytes.toString("base64")}")`;
}

function cipher(name: string, key: Buffer, iv: Buffer | null, data: Buffer): Buffer {
  const encrypting = createCipheriv(name, key, iv).setAutoPadding(false);
  return Buffer.concat([encrypting.update(data), encrypting.final()]);
}

function equal(found: Buffer, right: Buffer, what: string): void {
  if (!found.equals(right))
    throw new Error(`${what}: ${found.toString("hex")} came, and ${right.toString("hex")} is right.`);
}

/** What is seen of noise at a glance; the assessment of SP 800-90B takes a million bits. */
function statistics(bytes: Buffer): string {
  let ones = 0;
  let longest = 1;
  for (let i = 0, run = 1; i < bytes.length; i++) {
    for (let bits = bytes[i]; bits; bits &= bits - 1) ones++;
    run = i && bytes[i] === bytes[i - 1] ? run + 1 : 1;
    longest = Math.max(longest, run);
  }
  const share = ((100 * ones) / (8 * bytes.length)).toFixed(1);
  return `${bytes.length} bytes, ${share} % ones, ${new Set(bytes).size} values, longest run ${longest}`;
}
