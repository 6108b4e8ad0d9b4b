// The operators' page in a real browser: colours, words, focus, keys, what is posted; and that nobody but the page may
// send commands. First with an engine that is a script, then with the bench itself and simulated boards.
import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { createServer, request } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";
import { type Browser, chromium, type Page } from "playwright-core";
import type { Board } from "../../../boards/board";
import { readBoard } from "../bundle/build";
import { UsageError } from "../cli/exit";
import { keySourceOfMasters, masterFromBytes } from "../custody/master";
import { parseIdentity } from "../keys/identity";
import { keyCheckValue, PURPOSES } from "../keys/kdf";
import { randomKey } from "../keys/weak_keys";
import { openLedger } from "../ledger/ledger";
import { verifyLedger } from "../ledger/verify";
import { findProgram, skipWithout } from "../test/peers/install";
import { modulePath } from "../test/program";
import { Bench } from "./bench";
import { startPage } from "./bench_page";
import { makeImage } from "./image";
import type { BenchApi, BenchCommand, BenchEvent, BenchView, FixtureView } from "./interfaces";
import { writeLabel } from "./label";

/** A bench that shows what the test sets and notes what the page asks. */
class ScriptedBench implements BenchApi {
  readonly commands: BenchCommand[] = [];
  refusal: Error | undefined;
  fixtures: FixtureView[] = [];
  today = { passed: 0, failed: 0 };
  readonly listeners = new Set<(event: BenchEvent) => void>();

  view(): BenchView {
    const { fixtures, today } = this;
    const names = {
      station: "B1",
      who: "Ann",
      product: "meter",
      board: "esp32",
      imageDigest: "5a".repeat(32),
    };
    return { ...names, operation: "provision", fixtures, today };
  }
  command(command: BenchCommand): void {
    if (this.refusal) throw this.refusal;
    this.commands.push(command);
  }
  subscribe(listener: (event: BenchEvent) => void): () => void {
    listener({ kind: "bench", ...this.view() });
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }
  emit(event: BenchEvent): void {
    for (const listener of this.listeners) listener(event);
  }
}

const fixture = (number: number, more: Partial<FixtureView>): FixtureView => ({
  ...{
    fixture: number,
    port: `/dev/ttyUSB${number}`,
    state: "empty",
    operation: "provision",
    progress: 0,
    seconds: 0,
  },
  ...more,
});

const BOARD = "esp32-sim";
/** A long one (error_text.ts). */
const SENTENCE =
  "The network is not up: check the access point's name and password, or the cable. The device tries again.";

function launch(): Promise<Browser> {
  // Chromium refuses to start as root with its sandbox.
  const args = process.getuid?.() === 0 ? ["--no-sandbox"] : [];
  return chromium.launch({ executablePath: findProgram("chromium"), args });
}

describe("in Chromium", { skip: skipWithout("chromium"), timeout: 1_000_000 }, () => {
  const bench = new ScriptedBench();
  let served: Awaited<ReturnType<typeof startPage>>;
  let browser: Browser;
  let page: Page;
  const errors: string[] = [];

  before(async () => {
    served = await startPage(bench, { port: 0 });
    browser = await launch();
  });
  after(async () => {
    await browser?.close();
    await served?.close();
  });
  beforeEach(async () => {
    await page?.close();
    bench.commands.length = errors.length = 0;
    bench.refusal = undefined;
    bench.today = { passed: 41, failed: 1 };
    bench.fixtures = [
      fixture(1, {
        state: "passed",
        serial: "SN0000041",
        seconds: 31.4,
        progress: 1,
        keyVersion: 1,
        checkValue: "0A1B2C".repeat(4),
      }),
      fixture(2, {
        state: "failed",
        serial: "SN0000042",
        step: "self-test",
        seconds: 20,
        progress: 0.7,
        failure: { code: "self-test-failed", text: SENTENCE },
      }),
      fixture(3, { state: "running", serial: "SN0000043", step: "flash", seconds: 12, progress: 0.42 }),
      fixture(4, { state: "ready" }),
      fixture(5, {}),
    ];
    page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
    page.on("pageerror", (error) => errors.push(String(error)));
    page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
    await page.goto(served.url);
    await page.locator("#lost").waitFor({ state: "hidden" });
  });

  const tile = (number: number) => page.locator(`article[data-fixture="${number}"]`);
  const inTile = <T>(number: number, part: string, expression: string) =>
    page.evaluate<T>(
      `((element) => ${expression})(document.querySelector('article[data-fixture="${number}"] ${part}'))`,
    );
  const colour = (number: number) => inTile<string>(number, "", "getComputedStyle(element).backgroundColor");
  const focused = () => page.evaluate<string>("document.activeElement.id");
  /** Wait until an expression is true in the page, whose policy allows no polling of Playwright's own. */
  async function until(expression: string): Promise<void> {
    for (let wait = 0; !(await page.evaluate(expression)); wait++) {
      assert.ok(wait < 500, expression);
      await page.waitForTimeout(10);
    }
  }
  const notice = (text: string) =>
    until(`document.querySelector("#notice").textContent === ${JSON.stringify(text)}`);
  const said = () => page.locator("#notice").textContent();
  async function commands(count: number): Promise<BenchCommand[]> {
    for (let wait = 0; bench.commands.length < count && wait < 500; wait++) await page.waitForTimeout(10);
    return bench.commands;
  }

  test("a unit that was unplugged in the midst of its steps says at which, and what to do; not as an empty one", async () => {
    bench.emit({
      kind: "fixture",
      ...fixture(5, {
        serial: "SN0000045",
        step: "flash",
        progress: 0.3,
        failure: { code: "unplugged", text: "the device went away." },
      }),
    });
    await until(`document.querySelector('article[data-fixture="5"]').dataset.state === "cut"`);
    assert.equal(await tile(5).locator(".word").textContent(), "CUT");
    assert.equal(await tile(5).locator(".serial").textContent(), "SN0000045");
    assert.equal(await tile(5).locator(".more").textContent(), "at flash: plug it in again");
    const colours = await Promise.all([1, 2, 3, 4, 5].map(colour));
    assert.equal(new Set(colours).size, 5);
  });

  test("R39 what a device says is text, and what could not be seen is shown as its number", async () => {
    bench.emit({ kind: "fixture", ...fixture(4, { state: "ready", serial: "<b>x\u009b2J\u202e" }) });
    await until(`document.querySelector('article[data-fixture="4"] .serial').textContent.includes("u009b")`);
    assert.equal(await tile(4).locator(".serial").textContent(), "<b>x\\u009b2J\\u202e");
    assert.equal(await tile(4).locator("b").count(), 0);
  });

  test("green and red are to be seen across a room, with a word for those who do not see colours", async () => {
    const rgb = async (number: number) => (await colour(number)).match(/\d+/g)?.map(Number) as number[];
    const [red, green, blue] = await rgb(1);
    assert.ok(green > 2 * red && green > 2 * blue, "passed is green");
    const failed = await rgb(2);
    assert.ok(failed[0] > 2 * failed[1] && failed[0] > 2 * failed[2], "failed is red");
    assert.equal(new Set(await Promise.all([1, 2, 3, 4, 5].map(colour))).size, 5);
    assert.equal(await tile(1).locator(".word").textContent(), "PASS");
    assert.equal(await tile(2).locator(".word").textContent(), "FAIL");
    for (const [number, text] of [
      [1, "key v1 · 0A1B2C"],
      [2, `self-test: ${SENTENCE}`],
      [3, "flash"],
    ] as const)
      assert.equal(await tile(number).locator(".more").textContent(), text);
    // Five metres away a letter of 1 % of the distance is well read: 5 cm, here a tenth of the screen's height.
    const size = await inTile<number>(1, ".word", "Number.parseFloat(getComputedStyle(element).fontSize)");
    assert.ok(size > 60, `${size} pixels`);
    // All tiles and the field are on the screen without scrolling, and no text is cut.
    for (const box of await page.locator("article, #scan").all()) {
      const { x, y, width, height } = (await box.boundingBox()) as {
        x: number;
        y: number;
        width: number;
        height: number;
      };
      assert.ok(x >= 0 && y >= 0 && x + width <= 1280 && y + height <= 800);
    }
    assert.equal(await inTile<boolean>(2, ".more", "element.scrollHeight > element.clientHeight"), false);
    assert.equal(await inTile<boolean>(1, ".serial", "element.scrollWidth > element.clientWidth"), false);
    assert.deepEqual(errors, []);
  });

  test("events change a tile, today's yield and the notice as they come", async () => {
    assert.equal(await page.locator("#yield").textContent(), "today 41 of 42 · 97.6 %");
    bench.emit({ kind: "fixture", ...fixture(3, { state: "passed", serial: "SN0000043", progress: 1 }) });
    bench.emit({ kind: "yield", passed: 42, failed: 1 });
    bench.emit({ kind: "notice", level: "error", text: "SN0000043 is scrapped, for ever." });
    bench.emit({ kind: "fixture", ...fixture(6, { state: "detecting" }) });
    await tile(6).waitFor();
    assert.equal(await tile(3).locator(".word").textContent(), "PASS");
    assert.equal(await page.locator("#yield").textContent(), "today 42 of 43 · 97.7 %");
    assert.equal(await said(), "SN0000043 is scrapped, for ever.");
    assert.equal(await page.locator("article").count(), 6);
  });

  test("a page that lost the bench says so, and has everything when it is back", async () => {
    const { port } = new URL(served.url);
    await served.close();
    await page.locator("#lost").waitFor({ state: "visible" });
    await page.keyboard.type("SN1\n");
    await notice("The bench does not answer: nothing was done.");
    bench.fixtures = [fixture(1, { state: "failed" })];
    served = await startPage(bench, { port: Number(port) });
    await page.locator("#lost").waitFor({ state: "hidden", timeout: 600_000 });
    await until("document.querySelectorAll('article').length === 1");
    assert.equal(await tile(1).locator(".word").textContent(), "FAIL");
  });

  test("the field has the focus, whatever is pressed or clicked", async () => {
    assert.equal(await focused(), "scan");
    for (const key of ["Tab", "Shift+Tab", "F6", "Escape", "ArrowDown"]) {
      await page.keyboard.press(key);
      await page.waitForTimeout(20);
      assert.equal(await focused(), "scan", key);
    }
    await tile(1).click();
    await page.locator("#yield").click();
    await page.evaluate("document.activeElement.blur()");
    await page.waitForTimeout(20);
    assert.equal(await focused(), "scan");
  });

  test("scans go out in their order, however fast they come; Enter alone starts", async () => {
    for (const serial of ["SN0000044", "SN0000045", "SN0000046"]) await page.keyboard.type(`${serial}\n`);
    await page.keyboard.press("Enter");
    assert.deepEqual(await commands(4), [
      ...["SN0000044", "SN0000045", "SN0000046"].map((serial) => ({ command: "scan", serial })),
      { command: "start" },
    ]);
    assert.equal(await page.locator("#scan").inputValue(), "");
  });

  test("every other command is typed as well", async () => {
    for (const line of [
      "/3 SN0000047",
      "/start 2",
      "/start",
      "/clear 3",
      "/rework",
      "/rekey",
      "/provision",
      "  SN1  ",
    ])
      await page.keyboard.type(`${line}\n`);
    assert.deepEqual(await commands(8), [
      { command: "scan", serial: "SN0000047", fixture: 3 },
      { command: "start", fixture: 2 },
      { command: "start" },
      { command: "clear", fixture: 3 },
      ...["rework", "rekey", "provision"].map((operation) => ({ command: "operation", operation })),
      { command: "scan", serial: "SN1" },
    ]);
    await page.keyboard.type("/burn SN1\n");
    assert.equal(await said(), "There is no command /burn.");
    await page.keyboard.type("/clear\n");
    await notice("The command clear takes fixture.");
    assert.equal(bench.commands.length, 8);
  });

  test("scrapping asks once more, and Escape leaves it", async () => {
    await page.keyboard.type("/scrap SN0000042 Fell off the table\n");
    assert.match((await said()) ?? "", /for ever: Enter scraps it, Escape leaves it/);
    await page.keyboard.press("Escape");
    await page.keyboard.type("/scrap SN0000042 Fell off the table\n");
    await page.waitForTimeout(100);
    assert.deepEqual(bench.commands, []);
    await page.keyboard.press("Enter");
    assert.deepEqual(await commands(1), [
      { command: "scrap", serial: "SN0000042", reason: "Fell off the table" },
    ]);
  });

  test("a refusal is a sentence at the field, a fault of the bench is one without its insides", async () => {
    bench.refusal = new UsageError("SN0000042 is scrapped, for ever.");
    await page.keyboard.type("SN0000042\n");
    await notice("SN0000042 is scrapped, for ever.");
    bench.refusal = undefined;
  });

  test("what devices and scanners say is text, never markup or script", async () => {
    const nasty = `<img src=x onerror="document.title='owned'"><script>document.title='owned'</script>`;
    bench.emit({ kind: "notice", level: "info", text: nasty });
    bench.emit({
      kind: "fixture",
      ...fixture(2, { state: "failed", serial: nasty, failure: { code: "internal", text: nasty } }),
    });
    await notice(nasty);
    assert.equal(await tile(2).locator(".serial").textContent(), nasty);
    assert.equal(await page.locator("img").count(), 0);
    assert.equal(await page.title(), "B1 meter");
  });

  test("a page of another origin can neither read it nor command it", async () => {
    const foreign = createServer((_, response) => {
      response.writeHead(200, { "content-type": "text/html" }).end("a page of somebody else");
    });
    await once(foreign.listen(0, "127.0.0.1"), "listening");
    const other = await browser.newPage();
    try {
      await other.goto(`http://127.0.0.1:${(foreign.address() as AddressInfo).port}/`);
      const outcome = await other.evaluate<string[]>(`(async () => {
        const body = JSON.stringify({ command: "start" });
        const json = { "content-type": "application/json" };
        const ask = (path, options) => fetch("${served.url}" + path, options).then(() => "done", () => "refused");
        return [
          await ask("command", { method: "POST", body, headers: json }),
          await ask("command", { method: "POST", body, mode: "no-cors" }),
          await ask("", {}),
        ];
      })()`);
      assert.deepEqual([outcome[0], outcome[2]], ["refused", "refused"]);
      assert.deepEqual(bench.commands, []);
    } finally {
      await other.close();
      foreign.close();
    }
  });

  test("eight fixtures and one fit as well", async () => {
    for (const count of [8, 1, 16]) {
      bench.fixtures = Array.from({ length: count }, (_, i) =>
        fixture(i + 1, { state: "passed", serial: "SN0000001" }),
      );
      bench.emit({ kind: "bench", ...bench.view() });
      await until(`document.querySelectorAll("article").length === ${count}`);
      const overflow = await page.evaluate<boolean>("document.documentElement.scrollHeight > innerHeight");
      assert.equal(overflow, false, `${count} fixtures`);
    }
  });
});

test("the bench itself: scanned, started and finished from the keyboard; R25 no key comes out", {
  skip: skipWithout("chromium"),
  timeout: 1_000_000,
}, async () => {
  const folder = mkdtempSync(join(tmpdir(), "page-"));
  const board = (await readBoard(BOARD)) as unknown as Board;
  const { bytes: image, digest: imageDigest } = await makeImage(board);
  const farm = fork(modulePath("scripts/lib/simulate/simulated_boards.ts"), [BOARD, "2"]);
  const [ports] = (await once(farm, "message")) as [string[]];
  const path = join(folder, "ledger.sqlite");
  const ledger = openLedger(path);
  const masters = PURPOSES.map((purpose) => masterFromBytes(randomKey(), purpose));
  const bench = new Bench({
    ...{ board, image, imageDigest, product: "meter", keyVersion: 1 },
    ...{
      settings: { host: "127.0.0.1", port: 1, ssid: "simulated", pass: "simulated" },
      keys: keySourceOfMasters(masters),
    },
    ...{ ledger, station: "B1", who: "Ann", operation: "provision", ports },
    writeLabel: (label) => writeLabel(join(folder, "labels"), label),
  });
  const served = await startPage(bench, { port: 0 });
  const browser = await launch();
  try {
    let stream = "";
    const reader = connect({ host: "127.0.0.1", port: Number(new URL(served.url).port) });
    reader.on("data", (chunk) => (stream += chunk));
    reader.write(`GET /events HTTP/1.1\r\nHost: ${new URL(served.url).host}\r\n\r\n`);
    bench.start();
    const page = await browser.newPage();
    await page.goto(served.url);
    const tiles = (state: string) => page.locator(`article[data-state=${state}]`);
    await tiles("ready").nth(1).waitFor({ timeout: 600_000 });
    await page.keyboard.type("SN 1\n"); // what no serial is
    await page.locator("#notice.error", { hasText: "SN 1" }).waitFor();
    const serials = ["SN0000001", "SN0000002"];
    for (const serial of serials) await page.keyboard.type(`${serial}\n`);
    await page.locator(".serial", { hasText: serials[1] }).waitFor();
    await page.keyboard.press("Enter");
    await tiles("passed").nth(1).waitFor({ timeout: 600_000 });
    assert.deepEqual((await page.locator(".serial").allTextContents()).sort(), serials);
    await page.locator("#yield", { hasText: "today 2 of 2 · 100.0 %" }).waitFor();
    const shown = await page.content();
    reader.destroy();

    assert.deepEqual(verifyLedger(path, [ledger.head()]).faults, []);
    const labels = readdirSync(join(folder, "labels")).sort();
    assert.deepEqual(
      labels,
      serials.flatMap((serial) => [`meter.${serial}.pdf`, `meter.${serial}.svg`]),
    );
    const file = readFileSync(path);
    const places = [file, ...labels.map((name) => readFileSync(join(folder, "labels", name)))];
    const texts = [...places.map((bytes) => bytes.toString("latin1")), shown, stream].map((text) =>
      text.toLowerCase(),
    );
    for (const serial of serials) {
      assert.equal(ledger.unit("meter", serial)?.state, "passed");
      const identity = parseIdentity(`v1.meter.${serial}`);
      const checkValue = masters.map((master) => keyCheckValue(master.deviceKey(identity))).join("");
      assert.equal(ledger.unit("meter", serial)?.checkValue, checkValue);
      assert.ok(stream.includes(checkValue));
      for (const key of masters.map((master) => master.deviceKey(identity))) {
        for (const bytes of places) assert.ok(!bytes.includes(key));
        for (const spelling of [key.toString("hex"), key.toString("base64").toLowerCase()])
          for (const text of texts) assert.ok(!text.includes(spelling));
      }
    }
  } finally {
    await browser.close();
    await served.close();
    await bench.stop();
    ledger.close();
    farm.kill();
    rmSync(folder, { recursive: true });
  }
});

describe("the server behind it", () => {
  const bench = new ScriptedBench();
  let served: Awaited<ReturnType<typeof startPage>>;
  let host: string;
  before(async () => {
    served = await startPage(bench, { port: 0 });
    host = new URL(served.url).host;
  });
  after(() => served.close());

  const right = () => ({ host, origin: `http://${host}`, "content-type": "application/json" });
  async function ask(method: string, path: string, headers: Record<string, string>, text?: string) {
    const [, port] = host.split(":");
    const sent = request({
      host: "127.0.0.1",
      port,
      method,
      path,
      headers: { ...headers, connection: "close" },
    });
    sent.end(text);
    const [response] = await once(sent, "response");
    let body = "";
    for await (const chunk of response) body += chunk;
    return { status: response.statusCode as number, body, headers: response.headers };
  }
  const START = '{"command":"start"}';

  test("it takes a command of its own page, and listens on 127.0.0.1 alone", async () => {
    assert.equal((await ask("POST", "/command", right(), START)).status, 204);
    assert.deepEqual(bench.commands.splice(0), [{ command: "start" }]);
    const elsewhere = connect({ host: "127.0.0.2", port: Number(host.split(":")[1]) });
    const [error] = await once(elsewhere, "error");
    assert.equal(error.code, "ECONNREFUSED");
  });

  const strangers: [string, () => Record<string, string>, number][] = [
    ["another name that leads here (DNS rebinding)", () => ({ ...right(), host: "evil.example" }), 421],
    ["the same with our port", () => ({ ...right(), host: `evil.example:${host.split(":")[1]}` }), 421],
    ["the right name with another port", () => ({ ...right(), host: "127.0.0.1:1" }), 421],
    ["another origin", () => ({ ...right(), origin: "http://evil.example" }), 403],
    ["a page on another port of this machine", () => ({ ...right(), origin: "http://127.0.0.1:1" }), 403],
    ["https of the same name", () => ({ ...right(), origin: `https://${host}` }), 403],
    ["no origin", () => ({ host, "content-type": "application/json" }), 403],
    ["a sandboxed frame", () => ({ ...right(), origin: "null" }), 403],
    ["a form", () => ({ ...right(), "content-type": "text/plain" }), 415],
  ];
  for (const [name, headers, status] of strangers)
    test(`${name} may not send a command`, async () => {
      const answer = await ask("POST", "/command", headers(), START);
      assert.equal(answer.status, status);
      assert.match(JSON.parse(answer.body).error, /\.$/);
      assert.deepEqual(bench.commands, []);
    });

  test("another name may not read the events or the page either", async () => {
    for (const path of ["/", "/events"])
      assert.equal((await ask("GET", path, { host: "evil.example" })).status, 421, path);
    assert.equal(bench.listeners.size, 0);
  });

  test("what is no command is refused with a sentence", async () => {
    const wrong = [
      "",
      "null",
      "[]",
      "7",
      '"start"',
      "{}",
      '{"command":"burn"}',
      '{"command":"constructor"}',
      '{"command":"__proto__"}',
      '{"command":["scan"],"serial":"SN1"}',
      '{"command":"scan"}',
      '{"command":"scan","serial":7}',
      '{"command":"scan","serial":"SN1","fixture":"1"}',
      '{"command":"scan","serial":"SN1","fixture":0}',
      '{"command":"scan","serial":"SN1","fixture":1.5}',
      '{"command":"scan","serial":"SN1","who":"Eve"}',
      '{"command":"scan","serial":"SN1","__proto__":{"fixture":1}}',
      '{"command":"operation","operation":"erase"}',
      '{"command":"clear"}',
      '{"command":"scrap","serial":"SN1"}',
    ];
    for (const text of wrong) {
      const answer = await ask("POST", "/command", right(), text);
      assert.equal(answer.status, 400, text);
      assert.match(JSON.parse(answer.body).error, /\.$/, text);
    }
    assert.equal((await ask("POST", "/command", right(), " ".repeat(5000))).status, 413);
    assert.equal((await ask("GET", "/command", right())).status, 404);
    assert.equal((await ask("POST", "/events", right(), START)).status, 404);
    assert.equal((await ask("GET", "/../package.json", right())).status, 404);
    assert.deepEqual(bench.commands, []);
  });

  test("the page allows no script but its own and no frame around it", async () => {
    const [one, two] = [await ask("GET", "/", { host }), await ask("GET", "/", { host })];
    const policy = String(one.headers["content-security-policy"]);
    assert.match(policy, /^default-src 'none'; script-src 'nonce-[\w-]{22}';.*frame-ancestors 'none'$/);
    assert.notEqual(policy, two.headers["content-security-policy"]);
    assert.equal(one.headers["access-control-allow-origin"], undefined);
  });

  test("a page that goes away is forgotten, and one that does not read is let go", async () => {
    const socket = connect({ host: "127.0.0.1", port: Number(host.split(":")[1]) });
    socket.write(`GET /events HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
    await once(socket, "data");
    socket.pause();
    assert.equal(bench.listeners.size, 1);
    const text = "x".repeat(100_000);
    for (let i = 0; i < 200 && bench.listeners.size; i++) {
      bench.emit({ kind: "notice", level: "info", text });
      await new Promise((resolve) => setImmediate(resolve));
    }
    assert.equal(bench.listeners.size, 0);
    socket.destroy();
  });

  test("a port that is taken is a sentence", async () => {
    await assert.rejects(startPage(bench, { port: Number(host.split(":")[1]) }), UsageError);
  });
});
