// The technicians' page in a real browser, its own code against the real bundle on a simulated board; Web Serial, which a
// browser without a screen has not, is an object with its interface (web_serial.ts).
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, describe, type TestContext, test } from "node:test";
import { type Browser, chromium, type Page } from "playwright-core";
import { errorText } from "../cli/error_text";
import { masterFromBytes } from "../custody/master";
import { startGateway } from "../gateway/gateway";
import { newMasters } from "../simulate/finished_device";
import {
  type ConsoleOptions,
  FAILURES,
  fillSettings,
  ID,
  startConsole,
  type TestConsole,
} from "../test/console";
import { PASSPHRASE } from "../test/factory";
import { findProgram, skipWithout } from "../test/peers/install";
import { freePort } from "../test/peers/process";
import { nodeArguments } from "../test/program";
import { challengeAnswer, decodeBase32 } from "./challenge";
import { consolePage } from "./page_file";
import { bridgeSerial } from "./web_serial";

describe("in Chromium", { skip: skipWithout("chromium"), timeout: 1_000_000 }, () => {
  const folder = mkdtempSync(join(tmpdir(), "page-"));
  const file = join(folder, "console.html");
  let browser: Browser;
  let page: Page;
  let port = "";
  let rates: number[];
  const errors: string[] = [];
  const requests: string[] = [];

  before(async () => {
    writeFileSync(file, await consolePage());
    // Chromium refuses to start as root with its sandbox
    const args = process.getuid?.() === 0 ? ["--no-sandbox"] : [];
    browser = await chromium.launch({ executablePath: findProgram("chromium"), args });
  });
  after(async () => {
    await browser?.close();
    rmSync(folder, { recursive: true });
  });
  beforeEach(async () => {
    await page?.close();
    errors.length = requests.length = 0;
    page = await browser.newPage({ viewport: { width: 1180, height: 820 } });
    page.on("pageerror", (error) => errors.push(String(error)));
    page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
    page.on("request", (request) => requests.push(request.url()));
    ({ rates } = await bridgeSerial(page, () => port));
    await page.goto(`file://${file}`);
  });

  const text = async (id: string) => (await page.locator(`#${id}`).textContent()) ?? "";
  const is = (id: string) => page.evaluate<string>(`document.getElementById("${id}").dataset.is ?? ""`);
  const focused = () => page.evaluate<string>("document.activeElement.id");
  const rung = (step: number) =>
    page.evaluate<string>(`document.querySelector('.rung[data-step="${step}"]').dataset.is`);
  /** Wait until something holds, or say what stands there. */
  async function until(what: string, condition: () => Promise<boolean>): Promise<void> {
    for (let wait = 0; !(await condition()); wait++) {
      assert.ok(wait < 1000, `${what}: ${await text("word")} / ${await text("sentence")} / ${errors}`);
      await page.waitForTimeout(20);
    }
  }
  const says = (id: string, pattern: RegExp) =>
    until(`${id} says ${pattern}`, async () => pattern.test(await text(id)));

  /** Press a key when what was begun is over, as a person does who sees the buttons. */
  async function press(key: string): Promise<void> {
    if (key !== "c") await until("its turn", async () => !(await page.locator("#handshake").isDisabled()));
    await page.keyboard.press(key);
  }

  /** Type a command into the field that has the focus. */
  async function type(line: string): Promise<void> {
    await until("its turn", async () => !(await page.locator("#handshake").isDisabled()));
    await page.keyboard.type(`${line}\n`);
  }

  async function plugIn(context: TestContext, options?: ConsoleOptions): Promise<TestConsole> {
    const device = await startConsole(options);
    context.after(device.stop);
    port = device.port;
    return device;
  }

  test("it asks nobody for anything, whatever comes in, and has every sentence in itself", async (context) => {
    const html = readFileSync(file, "utf8");
    for (let code = 1; code < 64; code++) {
      // as the minifier writes it
      const sentence = errorText(code)?.split("`")[0].split('"')[0];
      if (sentence && !sentence.startsWith("The broker refused"))
        assert.ok(html.includes(sentence), sentence);
    }
    const nasty = `<img src=x onerror="document.title='owned'">`;
    const conf = JSON.stringify({ id: ID, host: "127.0.0.1", port: 1, ssid: nasty, pass: "x" });
    await plugIn(context, { files: { conf } });
    await page.locator("#connect").click();
    await says("glance", /onerror/);
    assert.equal(await page.locator("#glance img").count(), 0);
    assert.equal(await page.title(), "Device console");
    assert.deepEqual(
      requests.filter((url) => !url.startsWith("data:")),
      [`file://${file}`],
    );
    assert.deepEqual(errors, []);
    // a request out of the page is refused by its policy
    const outcome = await page.evaluate<string>(
      `fetch("http://127.0.0.1:1/").then(() => "done", (error) => error.name)`,
    );
    assert.equal(outcome, "TypeError");
    assert.match(errors.join(), /Content Security Policy/);
  });

  for (const { name, err, step, sentence, setUp } of FAILURES)
    test(`R29 ${name}: E${err} at ${step}, in the status, the log and the diagram`, async (context) => {
      const { options, stop } = await setUp();
      context.after(stop);
      await plugIn(context, options);
      await press("c");
      await says("sentence", new RegExp(`^E${err}, at ${step}\\. ${sentence.source}`));
      assert.equal(await is("state"), "error");
      assert.equal(await text("word"), `Not connected: ${step}`);
      assert.equal(await text("identity"), ID);
      await press("l");
      await says("log", new RegExp(`${step}: E${err} +${sentence.source}`));
      await press("h");
      await until("an outcome", async () => (await is("handshake-outcome")) === "failed");
      assert.match(await text("handshake-outcome"), new RegExp(`^E${err}: ${sentence.source}`));
      const failed = await page.locator('.rung[data-is="failed"]').allTextContents();
      assert.deepEqual(failed, [step]);
      assert.deepEqual([rates, errors], [[115_200], []]);
    });

  test("R29 full flash, in the answer and in the status", async (context) => {
    const device = await plugIn(context);
    fillSettings(device);
    await press("c");
    await unlock(device);
    await press("/");
    await type("conf set host broker.example.net");
    await says("said", /^> conf set .*\nE31 {2}Flash has no room for it, and nothing is written/);
    await says("sentence", /^E31, at console\. Flash has no room for it/);
  });

  test("a session: status, a handshake drawn step by step, self-test, log, any command", async (context) => {
    const masters = newMasters();
    const server = await startGateway({ master: masterFromBytes(Buffer.from(masters.psk)) });
    context.after(() => server.close());
    await plugIn(context, { masters, port: server.port });
    assert.equal(await page.locator("#handshake").isDisabled(), true);
    await press("c");
    await says("word", /^Connected$/);
    assert.equal(await is("state"), "up");
    await press("h");
    await says("handshake-outcome", /^The session is up, after \d+ ms\.$/);
    for (const step of [1, 2, 3, 4, 5, 6, 7, 8]) assert.equal(await rung(step), "done", `step ${step}`);
    await press("t");
    await says("selftest-outcome", /^All is well\.$/);
    await press("l");
    await says("log", /boot 1started \(reset cause \d+\)/);
    await press("/");
    assert.equal(await focused(), "line");
    await type("conf get");
    await says("said", /^> conf get[\s\S]*ssid +plant-7[\s\S]*pass +1 {2}there is one/);
    await type("format c:");
    await says("said", /^> format c:\nE26 {2}The device does not know this request\./);
    await type("conf set host x");
    await says("said", /E27 {2}This is a service command/);
    await type("json off");
    await says("said", /This page sets json itself/);
    assert.ok(!(await page.content()).includes(PASSPHRASE));
    assert.deepEqual(errors, []);
  });

  /** Unlock as a technician with a telephone does. */
  async function unlock(device: TestConsole, typed = (answer: string) => answer): Promise<void> {
    await says("identity", /^v1\.meter/);
    await page.evaluate("document.activeElement.blur()");
    const last = await text("nonce");
    await press("u");
    await until("a new nonce", async () => (await text("nonce")) !== last);
    await until("the field", async () => (await focused()) === "answer");
    const nonce = decodeBase32(await text("nonce")) as Buffer;
    const boots = Number(await text("boots"));
    const minutes = Number(await page.locator("#minutes").inputValue());
    const answer = challengeAnswer(device.keys.console, { role: "s", nonce, boots, minutes });
    await page.keyboard.type(`${typed(answer)}\n`);
    await says("unlock-outcome", /\w/);
  }

  test("R25 unlocking: an answer by itself, the desk's whole line, a false one; the code is read by a scanner", async (context) => {
    const device = await plugIn(context);
    await press("c");
    await unlock(device, () => "0000-0000-0000");
    assert.match(await text("unlock-outcome"), /^E29: The answer does not fit the challenge/);
    await until("a new challenge", async () => page.locator("#challenge").isVisible());
    const shown = `UNLOCK ${ID} ${(await text("nonce")).replaceAll("-", "")} ${await text("boots")}`;
    const picture = join(folder, "code.png");
    await page.locator("#code").screenshot({ path: picture });
    if (!skipWithout("zbarimg"))
      assert.equal(spawnSync("zbarimg", ["-q", "--raw", picture], { encoding: "utf8" }).stdout, `${shown}\n`);
    await unlock(device, (answer) => answer.toLowerCase().replaceAll("-", " "));
    await says("unlock-outcome", /^Unlocked for 60 minutes\.$/);
    await says("glance", /Consoleunlocked/);
    assert.equal(await page.locator("#challenge").isVisible(), false);
    await page.locator("#lock").click();
    await says("glance", /Consolelocked/);
    await unlock(device, (answer) => `unlock s 60 ${answer}`);
    await says("unlock-outcome", /^Unlocked for 60 minutes\.$/);
    const all = (await page.content()) + device.board.sent;
    for (const key of Object.values(device.keys))
      for (const form of ["hex", "base64"] as const) assert.ok(!all.includes(key.toString(form)));
  });

  test("R29 the plug is pulled and put in again; no device, a blank one, no Web Serial", async (context) => {
    const device = await plugIn(context);
    await press("c");
    await says("identity", /^v1\.meter/);
    await device.board.unplug();
    await says("word", /^The device was unplugged\.$/);
    assert.equal(await text("connect"), "Connect");
    assert.equal(await page.locator("#handshake").isDisabled(), true);
    port = await device.board.start();
    await press("c");
    await says("word", /^Not connected/);
    await press("c");
    await says("word", /^No device$/);
    await plugIn(context, { files: { key: "\xff".repeat(76) } });
    await press("c");
    await says("sentence", /^The interpreter's prompt answers: the device holds no keys yet/);
    assert.deepEqual(errors, []);
    const bare = await browser.newPage();
    await bare.addInitScript(`Object.defineProperty(navigator, "serial", { value: undefined })`);
    await bare.goto(`file://${file}`);
    assert.match((await bare.locator("#sentence").textContent()) ?? "", /use Chrome, Edge or Chromium/);
    assert.equal(await bare.locator("#connect").isDisabled(), true);
    await bare.close();
  });

  test("R29 a break and noise on the line end nothing: the port has another stream", async (context) => {
    await plugIn(context);
    await press("c");
    await says("identity", /^v1\.meter/);
    for (const fault of ["BreakError", "FramingError", "BufferOverrunError"]) {
      await until("its turn", async () => !(await page.locator("#handshake").isDisabled()));
      await page.evaluate(`serialFault("${fault}")`);
      await press("t");
      await says("selftest-outcome", /All is well/);
    }
    assert.equal(await text("connect"), "Disconnect");
    assert.deepEqual(rates, [115200]);
    assert.deepEqual(errors, []);
  });

  test("a password that WPA2 does not take is not sent", async (context) => {
    await plugIn(context);
    await press("c");
    await says("identity", /^v1\.meter/);
    await press("/");
    await type("conf set pass short");
    await says("said", /A Wi-Fi password has 8 to 63 bytes/);
  });

  test("by keyboard alone, and on a small tablet, nothing is out of reach or cut", async (context) => {
    await plugIn(context);
    await press("c");
    await says("identity", /^v1\.meter/);
    await says("log", /boot 1/);
    await press("u");
    await until("the field", async () => (await focused()) === "answer");
    await page.evaluate("document.activeElement.blur(); document.body.focus()");
    const reached = new Set<string>();
    for (let i = 0; i < 20; i++) {
      await page.keyboard.press("Tab");
      reached.add(await focused());
    }
    for (const id of [
      "connect",
      "handshake",
      "ask",
      "role",
      "minutes",
      "answer",
      "selftest",
      "reload",
      "line",
    ])
      assert.ok(reached.has(id), id);
    for (const [width, height] of [
      [1180, 820],
      [820, 1180],
      [600, 960],
    ]) {
      await page.setViewportSize({ width, height });
      const overflow = await page.evaluate<number>("document.documentElement.scrollWidth - innerWidth");
      assert.ok(overflow <= 0, `${overflow} pixels too wide at ${width}`);
      // a finger's breadth
      for (const button of await page.locator("button:visible").all())
        assert.ok(((await button.boundingBox())?.height ?? 0) >= 44);
    }
  });
});

test("it is served on 127.0.0.1 alone, with a policy", { timeout: 1_000_000 }, async (context) => {
  const port = await freePort();
  const child = spawn(process.execPath, nodeArguments("scripts/console.ts", "--page", String(port)));
  context.after(() => child.kill());
  let said = "";
  child.stdout.on("data", (chunk) => (said += chunk));
  while (!said.includes("\n")) await once(child.stdout, "data");
  const url = /http:\S+/.exec(said)?.[0] ?? "";
  assert.equal(url, `http://127.0.0.1:${port}/`);
  const answer = await fetch(url);
  assert.equal(answer.status, 200);
  assert.equal(answer.headers.get("content-security-policy"), "frame-ancestors 'none'");
  const html = await answer.text();
  assert.match(
    html,
    /content="default-src 'none'; script-src 'sha256-[^']+'; style-src 'sha256-[^']+'; img-src data:/,
  );
  assert.equal((await fetch(`${url}x`)).status, 404);
  child.kill("SIGINT");
  const [code] = await once(child, "exit");
  assert.equal(code, 0);
});
