// The contract of hal.ts, held by every implementation: each driver on each simulated chip that names it.
// Vectors are FIPS 197, SP 800-38A and FIPS 180-4 inline, NIST CAVP from ../shared/vectors where that folder
// is, and node:crypto over generated input. Leaves out what only silicon can show: real busy times, real
// noise.
import "./simulator/globals"; // before the drivers, some of which look at globals when they are loaded
import assert from "node:assert/strict";
import { createCipheriv, createHash, randomBytes } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { type AddressInfo, createServer, type Socket as NodeSocket, type Server } from "node:net";
import { after, before, beforeEach, describe, test } from "node:test";
import type { Board } from "../boards/board";
import { board as esp32 } from "../boards/esp32";
import { board as esp32Idf4 } from "../boards/esp32-idf4";
import { board as esp32c3 } from "../boards/esp32c3";
import { board as esp32s3 } from "../boards/esp32s3";
import { board as linux } from "../boards/linux";
import { board as mdbt42q } from "../boards/mdbt42q-w5500";
import * as Alert from "../firmware/tls/alert";
import * as consolePort from "./espruino/console_port";
import * as countedDigest from "./espruino/counted_digest";
import * as espWifi from "./espruino/esp_wifi";
import * as esp32Aes from "./espruino/esp32_aes";
import * as esp32Noise from "./espruino/esp32_noise";
import * as esp32System from "./espruino/esp32_system";
import * as esp32c3Noise from "./espruino/esp32c3_noise";
import * as esp32c3System from "./espruino/esp32c3_system";
import * as esp32s3Noise from "./espruino/esp32s3_noise";
import * as linuxSystem from "./espruino/linux_system";
import * as nativeAes from "./espruino/native_aes";
import * as nativeAesOnce from "./espruino/native_aes_once";
import * as nativeDigest from "./espruino/native_digest";
import * as noNetwork from "./espruino/no_network";
import * as nrfEcb from "./espruino/nrf_ecb";
import * as nrfRng from "./espruino/nrf_rng";
import * as nrfSystem from "./espruino/nrf_system";
import * as ownDigest from "./espruino/own_digest";
import * as runtimeClock from "./espruino/runtime_clock";
import * as storage from "./espruino/storage";
import * as systemRandom from "./espruino/system_random";
import * as tcpSocket from "./espruino/tcp_socket";
import * as w5500 from "./espruino/w5500";
import {
  AES_FAILED,
  type Aes128,
  CBC_DECRYPT,
  CBC_ENCRYPT,
  type Clock,
  type Digest,
  ECB_ENCRYPT,
  type Flash,
  NAME_UNKNOWN,
  NETWORK_UP,
  type Network,
  NO_NETWORK,
  NOISE_DEAD,
  OUT_OF_MEMORY,
  type RandomSource,
  type Serial,
  type System,
  type TcpSocket,
  WATCHDOG_S,
} from "./hal";
import { useBoard as install, runtime } from "./simulator/globals";
import type { NoiseModel } from "./simulator/noise";
import type { RuntimeOptions } from "./simulator/runtime";

/** Install a board whose console nobody sees. */
const useBoard = (board: Board, options: Partial<RuntimeOptions> = {}) =>
  install(board, { onPrint() {}, ...options });
const BOARDS = [linux, esp32, esp32Idf4, esp32c3, esp32s3, mdbt42q];
const VECTORS = "../shared/vectors/nist";

// the compiler holds each driver to its interface
const AES: Record<string, Aes128> = {
  native_aes: nativeAes,
  native_aes_once: nativeAesOnce,
  esp32_aes: esp32Aes,
  nrf_ecb: nrfEcb,
};
const DIGEST: Record<string, Digest> = {
  native_digest: nativeDigest,
  own_digest: ownDigest,
  counted_digest: countedDigest,
};
const NOISE: Record<string, RandomSource> = {
  esp32_noise: esp32Noise,
  esp32c3_noise: esp32c3Noise,
  esp32s3_noise: esp32s3Noise,
  nrf_rng: nrfRng,
  system_random: systemRandom,
};
const NETWORK: Record<string, Network> = { esp_wifi: espWifi, w5500, no_network: noNetwork };
const SYSTEM: Record<string, System> = {
  esp32_system: esp32System,
  esp32c3_system: esp32c3System,
  nrf_system: nrfSystem,
  linux_system: linuxSystem,
};
const TCP: TcpSocket = tcpSocket;
const CLOCK: Clock = runtimeClock;
const SERIAL: Serial = consolePort;
const FLASH: Flash = storage.flash;

const bytes = (hex: string) => Buffer.from(hex, "hex").toString("latin1");
const hex = (data: string | ArrayBuffer | Uint8Array) =>
  (typeof data === "string" ? Buffer.from(data, "latin1") : Buffer.from(new Uint8Array(data))).toString(
    "hex",
  );

test("drivers throw the numbers of firmware/tls/alert.ts", () => {
  assert.deepEqual(
    [NOISE_DEAD, NO_NETWORK, AES_FAILED, OUT_OF_MEMORY, NAME_UNKNOWN],
    [Alert.NOISE_DEAD, Alert.NO_NETWORK, Alert.AES_FAILED, Alert.OUT_OF_MEMORY, Alert.NAME_UNKNOWN],
  );
});

// ---- Aes128 ----

// SP 800-38A, F.1.1, F.2.1, F.2.2
const KEY = bytes("2b7e151628aed2a6abf7158809cf4f3c");
const IV = bytes("000102030405060708090a0b0c0d0e0f");
const PLAIN =
  "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710";
const ECB =
  "3ad77bb40d7a3660a89ecaf32466ef97f5d3d58503b9699de785895a96fdbaaf43b1cd7f598ece23881b00e3ed0306887b0c785e27e8ad3f8223207104725dd4";
const CBC =
  "7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b273bed6b8e3c1743b7116e69e222295163ff1caa1681fac09120eca307586e1a7";

for (const board of BOARDS) {
  const { aes, AES_CAN_DECRYPT } = AES[board.aes128];
  describe(`Aes128: ${board.aes128} on ${board.name}`, () => {
    beforeEach(() => void useBoard(board));

    test("published vectors: FIPS 197 and SP 800-38A", () => {
      const fips197 = aes(
        ECB_ENCRYPT,
        bytes("000102030405060708090a0b0c0d0e0f"),
        bytes("00112233445566778899aabbccddeeff"),
      );
      assert.equal(hex(fips197), "69c4e0d86a7b0430d8cdb78070b4c55a");
      assert.equal(hex(aes(ECB_ENCRYPT, KEY, bytes(PLAIN))), ECB);
      assert.equal(hex(aes(CBC_ENCRYPT, KEY, bytes(PLAIN), IV)), CBC);
      if (AES_CAN_DECRYPT) assert.equal(hex(aes(CBC_DECRYPT, KEY, bytes(CBC), IV)), PLAIN);
    });

    test("1 to 40 blocks agree with another implementation, both ways", () => {
      for (let blocks = 1; blocks <= 40; blocks++) {
        const [key, iv, text] = [randomBytes(16), randomBytes(16), randomBytes(blocks * 16)];
        const cbc = createCipheriv("aes-128-cbc", key, iv).setAutoPadding(false).update(text);
        const ecb = createCipheriv("aes-128-ecb", key, null).setAutoPadding(false).update(text);
        const [k, v, t] = [key, iv, text].map((each) => each.toString("latin1"));
        assert.equal(hex(aes(ECB_ENCRYPT, k, t)), ecb.toString("hex"));
        assert.equal(hex(aes(CBC_ENCRYPT, k, t, v)), cbc.toString("hex"));
        if (AES_CAN_DECRYPT)
          assert.equal(hex(aes(CBC_DECRYPT, k, cbc.toString("latin1"), v)), text.toString("hex"));
      }
    });

    test("strings, buffers and byte views at any offset give one answer, and none of them changes", () => {
      const text = randomBytes(80);
      const buffer = new Uint8Array(text).buffer;
      const shifted = new Uint8Array(90);
      shifted.set(text, 5);
      const view = shifted.subarray(5, 85);
      for (const mode of AES_CAN_DECRYPT
        ? [ECB_ENCRYPT, CBC_ENCRYPT, CBC_DECRYPT]
        : [ECB_ENCRYPT, CBC_ENCRYPT]) {
        const expected = hex(aes(mode, KEY, text.toString("latin1"), IV));
        assert.equal(hex(aes(mode, KEY, buffer, IV)), expected);
        assert.equal(hex(aes(mode, KEY, view, IV)), expected);
      }
      assert.equal(hex(buffer), text.toString("hex"));
      assert.equal(hex(view), text.toString("hex"));
    });

    test("CBC without an iv has one of zeros, whatever was before", () => {
      aes(CBC_ENCRYPT, KEY, bytes(PLAIN), IV);
      const zeros = hex(aes(CBC_ENCRYPT, KEY, bytes(PLAIN), "\0".repeat(16)));
      aes(CBC_ENCRYPT, KEY, bytes(PLAIN), IV);
      assert.equal(hex(aes(CBC_ENCRYPT, KEY, bytes(PLAIN))), zeros);
      if (AES_CAN_DECRYPT) assert.equal(hex(aes(CBC_DECRYPT, KEY, bytes(zeros))), PLAIN);
    });

    test("a result is a fresh ArrayBuffer: the next call leaves it alone", () => {
      const first = aes(CBC_ENCRYPT, KEY, bytes(PLAIN), IV);
      aes(ECB_ENCRYPT, IV, bytes(PLAIN));
      assert.ok(first instanceof ArrayBuffer);
      assert.equal(first.byteLength, 64);
      assert.equal(hex(first), CBC);
    });

    test("CBC over a length that is no whole number of blocks throws", () => {
      for (const length of [1, 15, 17, 33]) {
        for (const mode of [CBC_ENCRYPT, CBC_DECRYPT]) {
          assert.throws(
            () => aes(mode, KEY, "x".repeat(length), IV),
            (error) => error === AES_FAILED || error === OUT_OF_MEMORY,
          );
        }
      }
    });

    test(`decryption ${AES_CAN_DECRYPT ? "works" : "throws AES_FAILED, for the chip cannot"}`, () => {
      const decrypt = () => aes(CBC_DECRYPT, KEY, bytes(CBC), IV);
      if (AES_CAN_DECRYPT) assert.equal(hex(decrypt()), PLAIN);
      else assert.throws(decrypt, (error) => error === AES_FAILED);
    });

    test("NIST CAVP files", { skip: !existsSync(VECTORS) && `${VECTORS} is not here` }, () => {
      let count = 0;
      for (const file of ["CBCGFSbox128", "CBCKeySbox128", "CBCMMT128", "ECBVarTxt128"]) {
        for (const { section, fields } of rsp(`${VECTORS}/${file}.rsp`)) {
          const mode = file.startsWith("ECB")
            ? ECB_ENCRYPT
            : section === "ENCRYPT"
              ? CBC_ENCRYPT
              : CBC_DECRYPT;
          if (section === "DECRYPT" && (!AES_CAN_DECRYPT || mode === ECB_ENCRYPT)) continue;
          const [input, output] =
            section === "ENCRYPT" ? ["PLAINTEXT", "CIPHERTEXT"] : ["CIPHERTEXT", "PLAINTEXT"];
          const iv = fields.IV && bytes(fields.IV);
          assert.equal(
            hex(aes(mode, bytes(fields.KEY), bytes(fields[input]), iv)),
            fields[output],
            `${file} ${fields.COUNT}`,
          );
          count++;
        }
      }
      assert.ok(count > 150, `${count} vectors`);
    });

    test("R12 blocks are counted underneath", () => {
      const before = runtime.counters.aesBlocks;
      aes(CBC_ENCRYPT, KEY, bytes(PLAIN), IV);
      assert.equal(runtime.counters.aesBlocks - before, 4);
    });
  });
}

describe("Aes128: the ESP32's accelerator", () => {
  const START = 0x3ff01000;
  const CLOCK_ENABLE = 0x3ff0001c;
  const RESET_ENABLE = 0x3ff00020;
  const works = () => assert.equal(hex(esp32Aes.aes(CBC_ENCRYPT, KEY, bytes(PLAIN), IV)), CBC);
  beforeEach(() => void useBoard(esp32Idf4));

  test("a unit without clock, or held in reset, answers nothing", () => {
    poke32(START + 0x30, 7);
    assert.equal(peek32(START + 0x30), 0);
    poke32(CLOCK_ENABLE, 1);
    for (const holder of [0x01, 0x08, 0x10]) {
      poke32(RESET_ENABLE, holder);
      poke32(START + 0x30, 7);
      assert.equal(peek32(START + 0x30), 0);
    }
    poke32(RESET_ENABLE, 0);
    poke32(START + 0x30, 7);
    assert.equal(peek32(START + 0x30), 7);
  });

  test("the driver sets clock and reset, and leaves the other units' bits", () => {
    poke32(CLOCK_ENABLE, 0x80);
    poke32(RESET_ENABLE, 0xff);
    works();
    assert.equal(peek32(CLOCK_ENABLE), 0x81);
    assert.equal(peek32(RESET_ENABLE), 0xe6);
  });

  test("byte order, mode and key that another user left do not matter", () => {
    works();
    for (const endian of [0, 1, 2, 0x15, 0x2a, 0x3f]) {
      poke32(START + 0x40, endian);
      poke32(START + 0x08, 4);
      works();
    }
  });

  test("byte order: each bit of ENDIAN turns the answer", () => {
    works();
    const answers = new Set<string>();
    for (let endian = 0; endian < 64; endian++) {
      poke32(START + 0x40, endian);
      poke32(START + 0x08, 0);
      poke32(START + 0x10, new Int32Array(E.toArrayBuffer(KEY)));
      poke32(START + 0x30, new Int32Array(E.toArrayBuffer(bytes(PLAIN).slice(0, 16))));
      poke32(START, 1);
      while (!peek32(START + 0x04));
      answers.add(peek32(START + 0x30, 4).join());
    }
    assert.equal(answers.size, 64);
  });

  test("a slow unit is waited for, a hanging one throws AES_FAILED", () => {
    for (const busy of [0, 1, 5, 8]) {
      runtime.esp32Aes.busyAccesses = busy;
      works();
    }
    runtime.esp32Aes.busyAccesses = Number.POSITIVE_INFINITY;
    assert.throws(works, (error) => error === AES_FAILED);
  });

  test("who reads before IDLE reads garbage: the model would tell", () => {
    works();
    poke32(START, 1);
    const early = peek32(START + 0x30);
    while (!peek32(START + 0x04));
    assert.notEqual(early, peek32(START + 0x30));
  });

  test("the key does not stay in the unit", () => {
    works();
    assert.equal(peek32(START + 0x10, 4).join(), "0,0,0,0");
  });
});

describe("Aes128: the nRF's ECB", () => {
  const ECBDATAPTR = 0x4000e504;
  const works = () => assert.equal(hex(nrfEcb.aes(CBC_ENCRYPT, KEY, bytes(PLAIN), IV)), CBC);
  beforeEach(() => void useBoard(mdbt42q));

  test("a slow unit is waited for, a hanging one throws AES_FAILED", () => {
    for (const busy of [0, 1, 5, 12]) {
      runtime.nrfEcb.busyAccesses = busy;
      works();
    }
    runtime.nrfEcb.busyAccesses = Number.POSITIVE_INFINITY;
    assert.throws(works, (error) => error === AES_FAILED);
  });

  test("the radio has the core: tried again, and at last AES_FAILED", () => {
    for (const failures of [1, 2, 49]) {
      let left = failures;
      runtime.nrfEcb.contended = () => left-- > 0;
      works();
    }
    let count = 0;
    runtime.nrfEcb.contended = () => count++ % 3 < 2;
    works();
    runtime.nrfEcb.contended = () => true;
    assert.throws(works, (error) => error === AES_FAILED);
    runtime.nrfEcb.contended = () => false;
    works();
  });

  test("the SoftDevice moves the data pointer and leaves events: nothing of it counts", () => {
    const foreign = new Uint8Array(48);
    works();
    poke32(ECBDATAPTR, E.getAddressOf(foreign, true));
    poke32(0x4000e100, 1);
    poke32(0x4000e104, 1);
    works();
    assert.equal(hex(foreign), "00".repeat(48));
  });

  test("EasyDMA's buffer is flat and keeps nothing", () => {
    works();
    const address = peek32(ECBDATAPTR);
    assert.notEqual(address, 0);
    assert.equal(hex(new Uint8Array(runtime.bus.ram(address, 48) as Uint8Array)), "00".repeat(48));
    assert.equal(E.getAddressOf(new Uint8Array(16), true), 0, "16 bytes are never flat");
  });
});

// ---- Digest ----

const DIGESTS: [driver: string, board: (typeof BOARDS)[number]][] = [
  ...BOARDS.map((board): [string, (typeof BOARDS)[number]] => [board.digest, board]),
  ["counted_digest", esp32Idf4],
];
for (const [driver, board] of DIGESTS) {
  const { update, finish, RUNNING } = DIGEST[driver];
  describe(`Digest: ${driver} on ${board.name}`, () => {
    beforeEach(() => void useBoard(board));

    test("published vectors: FIPS 180-4 examples", () => {
      const long = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
      const answers: [string, string, string][] = [
        [
          "",
          "da39a3ee5e6b4b0d3255bfef95601890afd80709",
          "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        ],
        [
          "abc",
          "a9993e364706816aba3e25717850c26c9cd0d89d",
          "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        ],
        [
          long,
          "84983e441c3bd26ebaae4aa1f95129e5e54670f1",
          "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
        ],
      ];
      for (const [message, sha1, sha256] of answers) {
        assert.equal(hex(finish(20, update(20, "", message))), sha1);
        assert.equal(hex(finish(32, update(32, "", message))), sha256);
      }
    });

    test("0 to 200 bytes agree with another implementation, in pieces of any size", () => {
      for (let length = 0; length <= 200; length++) {
        const message = randomBytes(length).toString("latin1");
        for (const size of [20, 32]) {
          const expected = createHash(size === 20 ? "sha1" : "sha256")
            .update(message, "latin1")
            .digest("hex");
          const cut = (length * 7919) % (length + 1);
          const state = update(size, update(size, "", message.slice(0, cut)), message.slice(cut));
          assert.equal(hex(finish(size, state)), expected, `${length} bytes cut at ${cut}`);
        }
      }
    });

    test("a state is a value: kept, finished twice, gone on from twice", () => {
      const state = update(32, "", "x".repeat(100));
      const copy = state.slice(0);
      const first = hex(finish(32, state));
      update(32, state, "more");
      assert.equal(hex(finish(32, state)), first);
      assert.equal(state, copy);
      assert.notEqual(hex(finish(32, update(32, state, "a"))), hex(finish(32, update(32, state, "b"))));
    });

    test("states of one block are equally long, so that two of them can be joined", () => {
      for (const size of [20, 32]) {
        const lengths = ["6", "\\"].map((pad) => update(size, "", pad.repeat(64)).length);
        assert.equal(lengths[0], lengths[1]);
        if (RUNNING) assert.ok(lengths[0] < 64, "a running state holds no message");
      }
    });

    test("NIST CAVP files", { skip: !existsSync(VECTORS) && `${VECTORS} is not here` }, () => {
      for (const [file, size] of [
        ["SHA1ShortMsg", 20],
        ["SHA256ShortMsg", 32],
      ] as const) {
        for (const { fields } of rsp(`${VECTORS}/${file}.rsp`)) {
          const message = bytes(fields.Msg).slice(0, Number(fields.Len) / 8);
          assert.equal(hex(finish(size, update(size, "", message))), fields.MD, `${file} ${fields.Len}`);
        }
      }
    });
  });
}

test("R12 our own digest's compressions are counted in test builds", () => {
  useBoard(esp32Idf4);
  const { update, finish } = countedDigest;
  const counts = (globalThis as unknown as { compressions: number[] }).compressions;
  for (const [length, expected] of [
    [0, 1],
    [55, 1],
    [56, 2],
    [64, 2],
    [119, 2],
    [120, 3],
    [500, 8],
  ]) {
    for (const [index, size] of [20, 32].entries()) {
      counts.fill(0);
      finish(
        size,
        update(size, update(size, "", "x".repeat(length >> 1)), "x".repeat(length - (length >> 1))),
      );
      assert.equal(counts[index], expected, `${length} bytes, digest of ${size}`);
      assert.equal(counts[1 - index], 0);
    }
  }
});

// ---- RandomSource ----

const WORDS = 200;
/** Words of noise in the order in which the driver took them: those with a register read the last one first. */
const read = (source: RandomSource, count = WORDS) => {
  const bytes = Buffer.from(source.noise(4 * count), "latin1");
  return Array.from({ length: count }, (_, i) => bytes.readInt32LE(4 * i));
};
let boots = 0;
/** Boot a board with its driver anew. */
async function bootNoise(board: Board, options: Partial<RuntimeOptions> = {}): Promise<RandomSource> {
  useBoard(board, options);
  return board.randomSource === "system_random"
    ? await import(new URL(`./espruino/system_random.ts?${++boots}`, import.meta.url).href)
    : NOISE[board.randomSource];
}

for (const board of BOARDS) {
  describe(`RandomSource: ${board.randomSource} on ${board.name}`, () => {
    test("R13 gives int32 samples that differ, and others at the next boot", async () => {
      const words = read(await bootNoise(board));
      for (const word of words) assert.equal(word, word | 0);
      assert.ok(new Set(words).size > WORDS - 3);
      assert.notDeepEqual(read(await bootNoise(board)), words);
    });

    test("R13 passes on whole words as they come from the source", async () => {
      const word = board.randomSource === "nrf_rng" ? 0x04040404 : 0x01020304; // the nRF makes bytes
      assert.deepEqual(read(await bootNoise(board, { noise: { word: () => word } }), 3), [word, word, word]);
    });

    test("R13 a dead source throws NOISE_DEAD in a bounded wait, or its register stands still", async () => {
      const source = await bootNoise(board, { noise: "dead" });
      if (board.randomSource.startsWith("esp32")) assert.deepEqual(new Set(read(source)), new Set([0]));
      else
        assert.throws(
          () => source.noise(4),
          (error) => error === NOISE_DEAD,
        );
    });

    test("R13 what a source has in it reaches the tests: stuck, high, biased, repeating", async () => {
      const share = async (model: NoiseModel) => {
        const words = read(await bootNoise(board, { noise: model }));
        let ones = 0;
        for (const word of words) for (let bit = 0; bit < 32; bit++) ones += (word >>> bit) & 1;
        return { distinct: new Set(words).size, ones: ones / WORDS / 32 };
      };
      assert.equal((await share("stuck")).distinct, 1);
      assert.equal((await share("high")).ones, 1);
      assert.ok((await share("biased")).ones > 0.94);
      assert.ok((await share("repeating")).distinct <= 2);
    });
  });
}

test("R13 the ESP32's register without the radio, which runs one course from every boot, is not read", async () => {
  for (const board of [esp32, esp32c3, esp32s3]) {
    const source = await bootNoise(board, { network: { up: false } });
    assert.throws(
      () => read(source, 8),
      (code) => code === NOISE_DEAD,
    );
  }
});

test("R13 E.hwRand is the same at every boot, but on the nRF52", () => {
  for (const board of BOARDS) {
    const sequences = [1, 2].map(() => {
      useBoard(board);
      return [E.hwRand(), E.hwRand()].join();
    });
    assert.equal(sequences[0] === sequences[1], board !== mdbt42q, board.name);
  }
});

test("the nRF's generator: slow bytes are waited for, and it is stopped after", () => {
  useBoard(mdbt42q, { noise: { word: () => 0x0c } });
  runtime.nrfRng.busyAccesses = 60;
  assert.equal(nrfRng.noise(4), "\x0c\x0c\x0c\x0c");
  poke32(0x4000d100, 0);
  for (let i = 0; i < 200; i++) assert.equal(peek32(0x4000d100), 0);
});

// ---- TcpSocket ----

for (const board of BOARDS) {
  describe(`TcpSocket: ${board.tcpSocket} on ${board.name}`, () => {
    let server: Server;
    let port: number;
    let onConnection: (socket: NodeSocket) => void;
    before(async () => {
      server = createServer((socket) => {
        socket.on("error", () => {});
        onConnection(socket);
      });
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      port = (server.address() as AddressInfo).port;
    });
    after(() => {
      runtime.powerOff();
      server.close();
    });
    beforeEach(() => void useBoard(board));

    /** Connect and note what comes in which order; `opened` gets the socket. */
    function connection(to: number, opened?: (socket: ReturnType<typeof TCP.tcpConnect>) => void) {
      const events: string[] = [];
      let received = "";
      let longest = 0;
      let drains = 0;
      let done: () => void = () => {};
      const closed = new Promise<void>((resolve) => {
        done = resolve;
      });
      const socket = TCP.tcpConnect({ host: "127.0.0.1", port: to }, (event) => {
        if (typeof event === "string") {
          received += event;
          longest = Math.max(longest, event.length);
        } else if (typeof event === "boolean") {
          events.push(`close ${event}`);
          done();
        } else if (events.length) {
          assert.equal(event, socket);
          drains++;
        } else {
          events.push("open");
          opened?.(socket);
        }
      });
      assert.equal(events.length, 0, "nothing comes before the call returns");
      return {
        socket,
        events,
        closed,
        received: () => received,
        longest: () => longest,
        drains: () => drains,
      };
    }

    test("carries every byte value both ways in chunks of at most 536 bytes", async () => {
      onConnection = (socket) => void socket.pipe(socket);
      const sent = Array.from({ length: 20000 }, (_, i) => String.fromCharCode((i * 7) & 255)).join("");
      const { events, closed, received, longest, drains } = connection(port, (socket) => {
        assert.equal(socket?.write(sent.slice(0, 700)), false);
        socket?.write(sent.slice(700));
        const wait = setInterval(() => {
          if (received().length < sent.length) return;
          clearInterval(wait);
          socket?.end();
        }, 5);
      });
      await closed;
      assert.ok(drains() > 0, "what was written is on its way");
      assert.equal(received(), sent);
      assert.ok(longest() <= 536);
      assert.deepEqual(events, ["open", "close false"]);
      assert.equal(runtime.counters.bytesOut, sent.length);
      assert.equal(runtime.counters.bytesIn, sent.length);
    });

    test("R17 the server closes: what it sent comes first, then close", async () => {
      onConnection = (socket) => void socket.end(Buffer.alloc(3000, "z"));
      const { events, closed, received } = connection(port);
      await closed;
      assert.equal(received().length, 3000);
      assert.deepEqual(events, ["open", "close false"]);
    });

    test("end sends what is written, then closes", async () => {
      let got = "";
      const ended = new Promise<void>((resolve) => {
        onConnection = (socket) => {
          socket.on("data", (data) => {
            got += data.toString("latin1");
          });
          socket.on("end", () => {
            socket.end();
            resolve();
          });
        };
      });
      const { closed } = connection(port, (socket) => {
        socket?.write("x".repeat(2000));
        socket?.end("y");
        assert.throws(() => socket?.write("z"));
      });
      await Promise.all([closed, ended]);
      assert.equal(got, `${"x".repeat(2000)}y`);
    });

    test("R29 nobody listens: close without open", async () => {
      const free = createServer();
      await new Promise<void>((resolve) => free.listen(0, "127.0.0.1", resolve));
      const { port: unused } = free.address() as AddressInfo;
      await new Promise((resolve) => free.close(resolve));
      const { events, closed } = connection(unused);
      await closed;
      assert.deepEqual(events, ["close true"]);
    });

    test("R29 no such name: NAME_UNKNOWN, and nothing comes", () => {
      useBoard(board, { network: { unknownHosts: true } });
      const events: unknown[] = [];
      const connect = () => TCP.tcpConnect({ host: "nowhere", port: port }, (event) => events.push(event));
      assert.throws(connect, (error) => error === NAME_UNKNOWN);
      assert.deepEqual(events, []);
    });

    test("R29 connect throws (no socket, no network): close without open, a turn later", async () => {
      const faults = [{ refuse: true }] as const;
      const offline = board.network === "no_network" ? [] : [{ up: false }];
      for (const network of [...faults, ...offline]) {
        useBoard(board, { network });
        const { socket, events, closed } = connection(port);
        await closed;
        assert.equal(socket, undefined);
        assert.deepEqual(events, ["close true"]);
      }
    });

    test("the server resets: close", async () => {
      onConnection = (socket) => void socket.resetAndDestroy();
      const { events, closed } = connection(port);
      await closed;
      assert.equal(events.at(-1)?.startsWith("close"), true);
      assert.equal(events.filter((event) => event.startsWith("close")).length, 1);
    });
  });
}

// ---- Network ----

for (const board of BOARDS) {
  const { networkUp } = NETWORK[board.network];
  const bringUp = (network: object) =>
    new Promise<string>((resolve) => {
      useBoard(board, { network: { up: false, ...network } });
      let returned = false;
      const settled = (result: string) => {
        assert.ok(returned, "neither comes before the call returns");
        resolve(result);
      };
      const settings = { ssid: "net", pass: "word" };
      networkUp(settings, (event) => settled(event === NETWORK_UP ? "up" : `down ${event}`));
      returned = true;
    });
  describe(`Network: ${board.network} on ${board.name}`, () => {
    // the W5500's driver reads its pins from the board that tsconfig's paths name
    const pins = { spiMosi: linux.spiMosi, spiMiso: linux.spiMiso, spiSck: linux.spiSck, spiCs: linux.spiCs };
    before(() => {
      const { spiMosi, spiMiso, spiSck, spiCs } = board;
      Object.assign(linux, { spiMosi, spiMiso, spiSck, spiCs });
    });
    after(() => void Object.assign(linux, pins));

    test("comes up", async () => assert.equal(await bringUp({}), "up"));
    test("R29 comes up after two failures, asked again as the application does", async () => {
      useBoard(board, { network: { up: false, failures: 2 } });
      const settings = { ssid: "net", pass: "word" };
      let event: unknown = NO_NETWORK;
      for (let asks = 0; asks < 3 && event === NO_NETWORK; asks++)
        event = await new Promise((resolve) => networkUp(settings, resolve));
      assert.equal(event, NETWORK_UP);
    });
    if (board.network === "no_network") return;
    test("R29 is given up after a bounded number of tries", async () => {
      assert.equal(await bringUp({ failures: Number.POSITIVE_INFINITY }), `down ${NO_NETWORK}`);
    });
    if (board.network === "esp_wifi") {
      test("R29 a board without settings has no network, and lives", async () => {
        const down = await new Promise((resolve) => {
          useBoard(board, { network: { up: false } });
          networkUp({}, resolve);
        });
        assert.equal(down, NO_NETWORK);
      });
    }
    if (board.network !== "w5500") return;
    test("R29 no chip on the SPI is no network", async () => {
      assert.equal(await bringUp({ noChip: true }), `down ${NO_NETWORK}`);
    });
  });
}

// ---- Flash, Clock, System, Serial ----

describe("Flash: storage", () => {
  for (const board of BOARDS) {
    test(`reads, writes into erased bytes, refuses the rest, on ${board.name}`, () => {
      useBoard(board);
      const flash: Flash = board === linux ? FLASH : require("Storage");
      const all = Array.from({ length: 256 }, (_, i) => String.fromCharCode(i)).join("");
      assert.equal(flash.write("all", all), true);
      assert.equal(flash.read("all"), all);
      assert.equal(flash.read("all", 250, 100), all.slice(250));
      assert.equal(flash.read("all", 10, 5), all.slice(10, 15));
      assert.equal(flash.read("none"), undefined);
      assert.equal(flash.write("all", "other"), true);
      assert.equal(flash.read("all"), "other");
      flash.write("slot", "ab", 0, 10);
      assert.equal(flash.read("slot"), `ab${"\xff".repeat(8)}`);
      flash.write("slot", new Uint8Array([99, 100]), 2);
      assert.equal(flash.read("slot", 0, 4), "abcd");
      assert.throws(() => flash.write("slot", "x", 1), /already written/);
      assert.throws(() => flash.write("slot", "0123456789", 4), /Too much data/);
      assert.throws(() => flash.write("empty", ""), /zero length/);
      assert.throws(() => flash.write("none", "x", 4), /find or create/);
      flash.erase("slot");
      assert.equal(flash.read("slot"), undefined);
      flash.erase("all");
    });

    test(`R29 a full Storage throws and loses nothing; erased files make room, on ${board.name}`, () => {
      useBoard(board);
      const flash: Flash = require("Storage");
      const length = runtime.storage.length;
      flash.write("keep", "kept");
      flash.write("big", "b", 0, length - 200);
      assert.throws(() => flash.write("more", "m".repeat(300)), /find or create/);
      assert.equal(flash.read("keep"), "kept");
      flash.erase("big");
      flash.write("more", "m".repeat(300));
      assert.equal(flash.read("keep"), "kept");
      assert.equal(flash.read("more"), "m".repeat(300));
    });
  }

  test("a name of more than 28 characters is cut without a word", () => {
    useBoard(esp32);
    const flash: Flash = require("Storage");
    flash.write("abcdefghijklmnopqrstuvwxyz0123456789", "x");
    assert.equal(flash.read("abcdefghijklmnopqrstuvwxyz01"), "x");
  });
});

for (const board of BOARDS) {
  test(`Clock: ${board.clock} on ${board.name} tells milliseconds and never goes back`, async () => {
    useBoard(board);
    const start = CLOCK.now();
    await new Promise((resolve) => setTimeout(resolve, 20));
    const elapsed = CLOCK.now() - start;
    assert.ok(elapsed > 15 && elapsed < 2000, `${elapsed} ms`);
  });

  test(`System: ${board.system} on ${board.name} tells the reset cause, sets the watchdog, restarts`, async () => {
    const system = SYSTEM[board.system];
    let restarts = 0;
    const cause = board.system === "nrf_system" ? 2 : 7;
    useBoard(board, { resetCause: cause, onRestart: () => restarts++ });
    if (board === linux) assert.equal(system.resetCause(), 0);
    else assert.equal(system.resetCause(), cause);
    if (board.system === "nrf_system") assert.equal(system.resetCause(), 0, "read and cleared");
    for (const isFedByIdling of [true, false]) {
      system.watchdog(isFedByIdling);
      const { seconds, isAutomatic } = runtime.watchdog;
      if (board === linux) assert.equal(seconds, 0);
      else assert.deepEqual({ seconds, isAutomatic }, { seconds: WATCHDOG_S, isAutomatic: isFedByIdling });
    }
    system.restart();
    assert.equal(restarts, 1);
    // it feeds, but the last time
    (globalThis as any).feeds = 3;
    for (const made of [1, 1, 2]) {
      // biome-ignore lint/security/noGlobalEval: a timer evaluates it
      (0, eval)(system.TRIAL);
      assert.equal(restarts, made);
    }
    assert.equal(runtime.watchdog.kicks, board === linux ? 0 : 2);
  });
}

test("R27 Serial: console_port takes the port from the prompt, Ctrl-C and all, and writes to it", async () => {
  const lines: string[] = [];
  useBoard(linux, { onPrint: (line) => lines.push(line) });
  let got = "";
  SERIAL.serialTake();
  assert.ok(!SERIAL.serialIsOpen());
  SERIAL.serialOpen((data) => {
    got += data;
  });
  runtime.receive("USB", "\x03a\0\xff");
  await new Promise((resolve) => setTimeout(resolve, 5));
  assert.equal(got, "\x03a\0\xff");
  assert.ok(SERIAL.serialIsOpen());
  print("to the prompt, which nobody sees");
  SERIAL.serialWrite("hello\r\n");
  assert.deepEqual(lines, ["hello"]);
});

interface Vector {
  section: string;
  fields: Record<string, string>;
}

/** Read a NIST .rsp file: `NAME = value` lines in groups, under [SECTION] heads. */
function rsp(path: string): Vector[] {
  const vectors: Vector[] = [];
  let section = "";
  for (const group of readFileSync(path, "latin1")
    .replace(/\r/g, "")
    .split(/\n\s*\n/)) {
    const fields: Record<string, string> = {};
    for (const line of group.split("\n")) {
      const head = /^\[(.*)\]$/.exec(line);
      if (head) section = head[1];
      const [, name, value] = /^(\w+)\s*=\s*(\w+)$/.exec(line) ?? [];
      if (name) fields[name] = value;
    }
    if (fields.COUNT !== undefined || fields.Len !== undefined) vectors.push({ section, fields });
  }
  return vectors;
}
