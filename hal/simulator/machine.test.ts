// The simulator itself: a machine's context holds what Espruino has and no more, boots as Espruino does,
// stops when the power goes, and has the traps of Espruino's libraries, so that a bundle which falls into one
// falls here too.
import assert from "node:assert/strict";
import { createServer, type Socket as NodeSocket, type Server } from "node:net";
import { after, before, describe, test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { board as esp32Idf4 } from "../../boards/esp32-idf4-sim";
import { board as esp32 } from "../../boards/esp32-sim";
import { board as linux } from "../../boards/linux";
import { board as mdbt42q } from "../../boards/mdbt42q-w5500-sim";
import { Machine, type MachineOptions } from "./machine";

const HOUR_MS = 3_600_000;
const pause = (milliseconds = 20) => new Promise((resolve) => setTimeout(resolve, milliseconds));
/** Boot a board with this code and give what it prints. */
function boot(bundle: string | undefined, options: Partial<MachineOptions> = {}) {
  const lines: string[] = [];
  const machine = new Machine({ board: esp32, bundle, onPrint: (line) => lines.push(line), ...options });
  machine.boot();
  return { machine, lines };
}
const evaluate = (code: string, options: Partial<MachineOptions> = {}) =>
  boot("", { ...options, bundle: "0" }).machine.run(code);

describe("the context", () => {
  test("holds nothing of Node and nothing that Espruino's language lacks", () => {
    const absent = [
      "Buffer",
      "queueMicrotask",
      "TextEncoder",
      "structuredClone",
      "setImmediate",
      "fetch",
      "URL",
      "Map",
      "Set",
      "WeakMap",
      "Symbol",
      "Reflect",
      "Proxy",
      "BigInt",
      "Intl",
      "Atomics",
      "WebAssembly",
      "SharedArrayBuffer",
      "escape",
      "Math.imul",
      "Math.clz32",
      "Math.trunc",
      "Number.isInteger",
      "Object.freeze",
      "Array.from",
      "Array.of",
      "Uint8Array.from",
      "[].flat",
      "[].keys",
      "''.codePointAt",
      "''.matchAll",
      "new Uint8Array(1).at",
      "E.nothing",
      "process.argv",
      "process.exit",
    ];
    for (const name of absent) assert.equal(evaluate(`typeof ${name}`), "undefined", name);
  });

  test("holds what firmware builds on", () => {
    const present = [
      "E.toString",
      "E.toArrayBuffer",
      "E.getAddressOf",
      "E.enableWatchdog",
      "peek32",
      "poke32",
      "print",
      "console.log",
      "require",
      "setTimeout",
      "clearInterval",
      "getTime",
      "getSerial",
      "Modules.addCached",
      "process.memory",
      "({}).on",
      "[].emit",
      "(function () {}).removeAllListeners",
      "Serial1.write",
      "eval",
      "global.eval",
      "JSON.parse",
      "''.substr",
      "new Uint8Array(1).subarray",
    ];
    for (const name of present) assert.equal(evaluate(`typeof ${name}`), "function", name);
    assert.equal(evaluate("process.env.BOARD"), "ESP32");
  });

  test("has only the libraries of the board's build", () => {
    const has = (board: MachineOptions["board"], name: string) =>
      evaluate(`(function(){try{return typeof require("${name}")}catch(e){return e.message}})()`, { board });
    assert.equal(has(esp32, "crypto"), "object");
    assert.equal(has(esp32Idf4, "crypto"), 'Module "crypto" not found');
    assert.equal(has(mdbt42q, "Wifi"), 'Module "Wifi" not found');
    assert.equal(has(mdbt42q, "WIZnet"), "object");
    assert.equal(evaluate("typeof require('crypto').AES", { board: mdbt42q }), "undefined");
    assert.equal(evaluate("typeof E.openFile", { board: linux }), "function");
    assert.equal(evaluate("typeof E.openFile", { board: esp32 }), "undefined");
  });

  test("loops over arrays leave Espruino's event methods out", () => {
    assert.equal(evaluate("var n = 0; for (var i in { a: 1 }) n++; n"), 1);
  });

  test("u8.set cuts what is too long, without a word", () => {
    assert.equal(evaluate("var u = new Uint8Array(4); u.set([1,2,3,4,5], 2); u.join()"), "0,0,1,2");
  });

  test("indexOf takes the end of a text for a match of a longer one, as Espruino 2v29 does", () => {
    const found = (code: string) => evaluate(`[${code}].join()`);
    assert.equal(found('"abc,".indexOf(",x"),"abc,".indexOf("c,x"),"abcd".indexOf("dx")'), "3,2,3");
    assert.equal(found('"ab".indexOf("abx"),"abc".indexOf("bd"),"aba".indexOf("a",1)'), "-1,-1,2");
    assert.equal(found('"abc,".includes(",x"),"abc".includes("bx")'), "true,false");
  });

  test("Math.random and E.hwRand run one course from every boot", () => {
    const { machine } = boot("0");
    const first = machine.run("[Math.random(), E.hwRand()].join()");
    machine.boot();
    assert.equal(machine.run("[Math.random(), E.hwRand()].join()"), first);
  });

  test("E.mapInPlace takes bits, most or least significant first", () => {
    const bits = (n: number) =>
      evaluate(
        `var b = new Uint8Array(8); E.mapInPlace(new Uint8Array([0x12, 0x34]), b, undefined, ${n}); b.join()`,
      );
    assert.equal(bits(4), "1,2,3,4,0,0,0,0");
    assert.equal(bits(-4), "2,1,4,3,0,0,0,0");
    assert.equal(bits(0), "18,52,0,0,0,0,0,0");
    assert.equal(bits(2), "0,1,0,2,0,3,1,0");
  });

  test("a character over 255 among bytes is told", () => {
    assert.throws(() => evaluate("E.toString('\u20ac')"), /character 8364/);
  });
});

describe("boot and power", () => {
  test("runs .boot0 to .boot3, then .bootcde; .bootrst in its place", () => {
    const files = { ".boot0": "print('0')", ".boot3": "print('3')" };
    const without = boot(undefined, { files: { ...files, ".bootcde": "print('cde')" } });
    assert.deepEqual(without.lines, ["0", "3", "cde"]);
    const both = boot("print('rst')", { files: { ...files, ".bootcde": "print('cde')" } });
    assert.deepEqual(both.lines, ["0", "3", "rst"]);
  });

  test("an error ends a boot file, is printed, and the machine lives", async () => {
    const { lines, machine } = boot(
      "setTimeout(function () { print('on'); throw 532 }, 1); throw new Error('no')",
    );
    await pause();
    machine.powerOff();
    assert.deepEqual(lines, ["Uncaught Error: no", "on", "Uncaught 532"]);
  });

  test("code evaluated from Storage sees the bundle's names", () => {
    const { lines } = boot("let a = 1; const f = eval(require('Storage').read('s', 2, 19)); f(2)", {
      files: { s: "  (b => print(a + b));" },
    });
    assert.deepEqual(lines, ["3"]);
  });

  test("powerOff stops timers and queued events; Storage outlives it", async () => {
    const code =
      "require('Storage').write('n', String(1 + +(require('Storage').read('n') || 0))); setInterval(function () { print('tick') }, 2); var o = {}; o.on('e', function () { print('e') }); o.emit('e')";
    const { lines, machine } = boot(code);
    machine.powerOff();
    await pause();
    assert.deepEqual(lines, []);
    assert.equal(machine.read("n"), "1");
    machine.boot();
    machine.powerOff();
    assert.equal(machine.read("n"), "2");
    assert.ok(Object.keys(machine.files).includes(".bootrst"));
  });

  test("E.reboot starts anew and the reset register says so", async () => {
    const code = "var c = peek32(0x3ff48034); print(c); if (c === 1) E.reboot()";
    const { lines, machine } = boot(code);
    await pause();
    machine.powerOff();
    assert.deepEqual(lines, ["1", "12"]);
  });

  test("names of a minified bundle can be read by their source", () => {
    const { machine } = boot("var a = 42;");
    machine.names({ variables: { a: "lastError" } });
    assert.equal(machine.value("lastError"), 42);
  });

  test("an address with nothing behind it is an error", () => {
    assert.throws(() => evaluate("peek32(0x3ff01000)", { board: mdbt42q }), /0x3ff01000/);
  });
});

describe("events and modules", () => {
  test("emit waits for the next turn; a listener that comes after it hears nothing", async () => {
    const { lines, machine } = boot(
      "var o = {}; o.emit('e', 1); o.on('e', function (x) { print('heard', x) }); o.emit('e', 2); print('after')",
    );
    await pause();
    machine.powerOff();
    assert.deepEqual(lines, ["after", "heard 2"]);
  });

  test("Modules.addCached goes before what is built in", () => {
    assert.equal(evaluate("Modules.addCached('net', function () { exports.x = 5; }); require('net').x"), 5);
    assert.equal(evaluate("Modules.addCached('a', 'exports.y = 6'); require('a').y"), 6);
  });

  test("require finds a module in Storage", () => {
    assert.equal(boot("0", { files: { mine: "exports.z = 7" } }).machine.run("require('mine').z"), 7);
  });
});

describe("native crypto's traps", () => {
  const run = (code: string) => {
    const { machine, lines } = boot("0");
    return { result: machine.run(`var AES = require('crypto').AES, K = '0123456789abcdef'; ${code}`), lines };
  };
  test("no padding; a bad length prints and gives undefined in CBC, a zero tail in ECB", () => {
    const cbc = run("AES.encrypt('x', K, { mode: 'CBC' })");
    assert.equal(cbc.result, undefined);
    assert.deepEqual(cbc.lines, ["ERROR: Invalid input length"]);
    assert.equal(run("new Uint8Array(AES.encrypt(K + 'x', K, { mode: 'ECB' }))[16]").result, 0);
    assert.equal(run("AES.encrypt(K, K, { mode: 'ECB' }).byteLength").result, 16);
  });
  test("CTR ignores its iv", () => {
    const { result } = run(
      "var f = function (iv) { return new Uint8Array(AES.encrypt(K, K, { mode: 'CTR', iv: iv })).join() }; f(K) === f('x' + K)",
    );
    assert.equal(result, true);
  });
  test("DataViews are refused, words are taken as single bytes", () => {
    assert.throws(() => run("AES.encrypt(new DataView(new ArrayBuffer(16)), K)"), /data : \.\.\., count/);
    assert.equal(run("AES.encrypt(new Int32Array(4), K)").result, undefined);
  });
  test("R12 compressions and native calls are counted by length", () => {
    const { machine } = boot("0");
    machine.run(
      "require('crypto').SHA256('x'.repeat(55)); require('crypto').SHA256('x'.repeat(56)); require('crypto').SHA1('')",
    );
    const { sha1Compressions, sha256Compressions, nativeCalls } = machine.counters;
    assert.deepEqual([sha1Compressions, sha256Compressions, nativeCalls], [1, 3, 3]);
    machine.resetCounters();
    assert.equal(machine.counters.nativeCalls, 0);
  });
});

describe("net's traps", () => {
  let server: Server;
  let port: number;
  let got = "";
  let accepted = 0;
  let onConnection: (socket: NodeSocket) => void = () => {};
  before(async () => {
    server = createServer((socket) => {
      socket.on("error", () => {});
      socket.on("data", (data) => {
        got += data.toString("latin1");
      });
      accepted += 1;
      onConnection(socket);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    port = (server.address() as { port: number }).port;
  });
  after(() => void server.close());
  /** Run code with `s`, a socket just made, an hour of the board's when `isReady`, and until `isOver`; what must not come could then. */
  async function withSocket(
    code: string,
    isOver: (lines: string[], bytesIn: number) => boolean,
    isReady?: (lines: string[], bytesIn: number) => boolean,
  ) {
    got = "";
    accepted = 0;
    const { machine, lines } = boot("0");
    machine.run(code.replace("CONNECT", `require('net').connect({ host: '127.0.0.1', port: ${port} }`));
    const wait = async (until: typeof isOver) => {
      while (!until(lines, machine.counters.bytesIn)) await turn();
    };
    if (isReady) {
      await wait(isReady);
      await machine.later(HOUR_MS);
    }
    await wait(isOver);
    for (let i = 0; i < 20; i++) await turn();
    machine.powerOff();
    return lines;
  }

  test("write sends a Uint8Array as decimal text, and returns false", async () => {
    onConnection = () => {};
    const lines = await withSocket(
      "var s = CONNECT, function (t) { print(s === t, t.write(new Uint8Array([1, 200]))) })",
      () => got.length >= 5,
    );
    assert.equal(got, "1,200");
    assert.deepEqual(lines, ["true false"]);
  });

  test("a callback together with on('connect'): both are dead", async () => {
    const lines = await withSocket(
      "var s = CONNECT, function () { print('a') }); s.on('connect', function () { print('b') })",
      () => accepted === 1,
    );
    assert.deepEqual(lines, []);
  });

  test("on('connect') alone works; drain comes after connect and after what was written", async () => {
    const lines = await withSocket(
      "var s = CONNECT); s.on('connect', function () { print('c') }); s.on('drain', function () { print('d') }); setTimeout(function () { s.write('x') }, 3600000)",
      (lines) => lines.length >= 3,
      (lines) => lines.length === 2,
    );
    assert.deepEqual(lines, ["c", "d", "d"]);
  });

  test("a late data listener gets what waited; over 512 bytes of it again and again", async () => {
    onConnection = (socket) => void socket.write("a".repeat(300));
    const late =
      "var s = CONNECT); setTimeout(function () { s.on('data', function (d) { print(d.length) }) }, 3600000)";
    const got300 = await withSocket(
      late,
      (lines) => lines.length > 0,
      (_, bytesIn) => bytesIn === 300,
    );
    assert.deepEqual(got300, ["300"]);
    onConnection = (socket) => void socket.write("a".repeat(2000));
    let turns = 0;
    const again = await withSocket(
      late,
      (lines) => lines.length > 10,
      (_, bytesIn) => bytesIn === 2000 && ++turns > 20,
    );
    assert.equal(new Set(again.slice(1, 10)).size, 1);
  });

  test("write after close throws; end and close come once each", async () => {
    onConnection = (socket) => void socket.end();
    const lines = await withSocket(
      "var s = CONNECT); s.on('end', function () { print('end') }); s.on('close', function (e) { print('close', e); try { s.write('x') } catch (e) { print(e.message) } })",
      (lines) => lines.length >= 3,
    );
    assert.deepEqual(lines, ["end", "close false", "This socket is closed"]);
  });

  test("powerOff closes the board's sockets", async () => {
    const closed = new Promise((resolve) => {
      onConnection = (socket) => void socket.on("close", resolve);
    });
    await withSocket("var s = CONNECT)", () => accepted === 1);
    await closed;
  });
});

test("a board without its network up has no sockets", () => {
  for (const board of [esp32, mdbt42q]) {
    assert.throws(
      () =>
        evaluate("require('net').connect({ host: '127.0.0.1', port: 1 })", { board, network: { up: false } }),
      /Not connected/,
    );
  }
});

test("code that does not end is broken off, and the board goes on", () => {
  const { machine } = boot("0");
  assert.throws(() => machine.run("for (;;);", 50), /timed out/);
  assert.equal(machine.run("1 + 1", 50), 2);
});
