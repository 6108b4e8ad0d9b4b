// The pictures of the pages, `make screenshots`: the operators' page of a bench with simulated boards in every state, and the
// technicians' page of a device whose key the server does not take. In Chromium, from the real pages; look at them afterwards.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Browser, chromium, type Page } from "playwright-core";
import { startPage } from "../bench/bench_page";
import { LINE_RATE } from "../bench/port";
import { consolePage } from "../console/page_file";
import { bridgeSerial } from "../console/web_serial";
import { PROJECT } from "../project";
import { TestBench } from "./bench";
import { FAILURES, startConsole } from "./console";
import { findProgram } from "./peers/install";

const SCREEN = { width: 1180, height: 820 };

/** The bench: passed, failed, at work, cut, waiting, empty. */
async function bench(page: Page, path: string): Promise<void> {
  const slow = { lineRate: LINE_RATE };
  const noNetwork = { machine: { network: { up: false, failures: Number.POSITIVE_INFINITY } } };
  const bench = await TestBench.start([{}, noNetwork, slow, {}, {}, slow, {}, {}]);
  const served = await startPage(bench.bench, { port: 0 });
  const command = bench.bench.command.bind(bench.bench);
  const state = (fixture: number) => bench.bench.view().fixtures[fixture - 1];
  try {
    await bench.ready();
    await page.goto(served.url);
    for (const fixture of [1, 2, 5]) await bench.run(`SN000004${fixture}`, fixture);
    for (const fixture of [3, 6]) {
      command({ command: "scan", serial: `SN000004${fixture}`, fixture });
      command({ command: "start", fixture });
    }
    command({ command: "scan", serial: "SN0000047", fixture: 7 });
    await bench.until(() => [3, 6].every((fixture) => state(fixture).progress > 0.2), 60_000);
    await Promise.all([bench.boards[5].unplug(), bench.boards[7].unplug()]);
    await bench.until(() => [6, 8].every((fixture) => state(fixture).state === "empty"), 10_000);
    await page.locator('[data-state="cut"]').waitFor();
    await page.screenshot({ path });
  } finally {
    await served.close();
    await bench.stop();
  }
}

/** The console: a status with its sentence, a handshake that stopped, a log, a challenge. */
async function console(page: Page, path: string, folder: string): Promise<void> {
  const failure = FAILURES.find(({ name }) => name === "wrong key");
  if (!failure) throw new Error("there is no failure of that name");
  const { options, stop } = await failure.setUp();
  const device = await startConsole(options);
  try {
    await bridgeSerial(page, () => device.port);
    const file = join(folder, "console.html");
    writeFileSync(file, await consolePage());
    await page.goto(`file://${file}`);
    const says = (id: string, text: RegExp) => page.locator(`#${id}`, { hasText: text }).waitFor();
    const press = async (key: string) => {
      await page.locator("#handshake:enabled").waitFor();
      await page.keyboard.press(key);
    };
    await page.keyboard.press("c");
    await says("sentence", /^E/);
    await press("t");
    await says("selftest-outcome", /All is well/);
    await press("h");
    await page.locator('#handshake-outcome[data-is="failed"]').waitFor();
    await press("l");
    await press("u");
    await says("nonce", /\w/);
    await page.evaluate("document.activeElement.blur()");
    await page.screenshot({ path, fullPage: true });
  } finally {
    await device.stop();
    await stop();
  }
}

const folder = mkdtempSync(join(tmpdir(), "screenshots-"));
const browser: Browser = await chromium.launch({
  executablePath: findProgram("chromium"),
  // Chromium refuses to start as root with its sandbox
  args: process.getuid?.() === 0 ? ["--no-sandbox"] : [],
});
try {
  const make = async (work: typeof console, path: string) => {
    const page = await browser.newPage({ viewport: SCREEN });
    await work(page, join(PROJECT, path), folder);
    process.stdout.write(`${path}\n`);
  };
  await make(bench, "scripts/lib/bench/page.png");
  await make(console, "scripts/lib/console/console.png");
} finally {
  await browser.close();
  rmSync(folder, { recursive: true });
}
