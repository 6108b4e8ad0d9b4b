/*
 * Fleets do not stampede: the delays that the main bundle keeps between its attempts, read from the timers that it
 * sets on the simulated board while nobody listens: a ceiling that doubles up to a limit, and full jitter below it.
 */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import type { Machine } from "../../hal/simulator/machine";
import { IDENTITY, KEY, TestDevice, Watch } from "../../scripts/lib/test/device";
import { freePort } from "../../scripts/lib/test/peers/process";
import { startPlainServer, startScriptedServer } from "../../scripts/lib/test/scripted_server";
import { RECONNECT_DOUBLINGS, RECONNECT_FIRST_MS } from "../profile";
import { NO_SERVER, SENT, UNEXPECTED_MESSAGE } from "../tls/alert";
import { SESSION_ENDED } from "../tls/session";
import { ATTEMPT } from "./event";

const devices: TestDevice[] = [];
after(() => {
  for (const device of devices) device.powerOff();
});

type SetTimeout = (callback: unknown, delay: number, ...rest: unknown[]) => unknown;

/** Put `make`'s setTimeout, which gets the board's own, in its place. */
function replaceSetTimeout(machine: Machine, make: (own: SetTimeout) => SetTimeout): void {
  const replace = machine.run("(function(f){setTimeout=f})") as (f: SetTimeout) => void;
  replace(make(machine.run("setTimeout") as SetTimeout));
}

/**
 * Boot the main bundle and collect `count` reconnect delays: those of the timers that it sets right after it has told
 * an error on its console. These run at once.
 */
async function delaysOf(
  port: number,
  count: number,
  limits = {},
): Promise<{ delays: number[]; device: TestDevice }> {
  const delays: number[] = [];
  const watch = new Watch();
  let failed = false;
  const device = await TestDevice.boot("esp32-sim", {
    entry: "firmware/main.ts",
    defines: limits,
    port,
    onLine(line) {
      failed ||= /^E\d+$/.test(line);
    },
    prepare(machine) {
      replaceSetTimeout(machine, (own) => (callback, delay, ...rest) => {
        if (!failed || delays.length === count) return own(callback, delay, ...rest);
        failed = false;
        delays.push(delay);
        watch.wake();
        return own(callback, 0, ...rest);
      });
    },
  });
  devices.push(device);
  await watch.until(() => delays.length >= count, 20_000);
  return { delays, device };
}

test("R28 the delay before a reconnect is uniform below a ceiling that doubles", async () => {
  const boots = 12;
  const rows: number[][] = [];
  for (let boot = 0; boot < boots; boot++) {
    const { delays, device } = await delaysOf(await freePort(), 14);
    assert.equal(delays.length, 14, device.lines.join("\n"));
    rows.push(delays);
    device.powerOff();
  }
  const ceilings = rows[0].map(
    (_, attempt) => RECONNECT_FIRST_MS * 2 ** Math.min(RECONNECT_DOUBLINGS, attempt),
  );
  const shares: number[] = [];
  for (const delays of rows)
    delays.forEach((delay, attempt) => {
      assert.ok(delay >= 0 && delay <= ceilings[attempt], `attempt ${attempt}: ${delay} ms`);
      shares.push(delay / ceilings[attempt]);
    });
  // full jitter: uniform over all of it, not half; 168 shares, six standard deviations
  const mean = shares.reduce((sum, share) => sum + share, 0) / shares.length;
  assert.ok(Math.abs(mean - 0.5) < (6 * 0.289) / Math.sqrt(shares.length), `mean share ${mean}`);
  for (const [from, to] of [
    [0, 0.2],
    [0.2, 0.4],
    [0.4, 0.6],
    [0.6, 0.8],
    [0.8, 1.0001],
  ])
    assert.ok(
      shares.some((share) => share >= from && share < to),
      `no delay between ${from} and ${to} of its ceiling`,
    );
  // two devices do not come back together
  assert.equal(new Set(rows.map((delays) => delays.slice(4).join())).size, boots);
});

test("R28 the ceiling stays at its limit however often it fails", async () => {
  const { delays, device } = await delaysOf(await freePort(), 60, {
    RECONNECT_FIRST_MS: 100,
    RECONNECT_DOUBLINGS: 3,
  });
  assert.equal(delays.length, 60, device.lines.join("\n"));
  assert.ok(Math.max(...delays.slice(4)) <= 800);
  assert.ok(Math.max(...delays.slice(4)) > 640);
  assert.ok(device.lines.every((line) => !/^E/.test(line) || line === `E${NO_SERVER}`));
  device.powerOff();
});

test("R28 a server that refuses is not met faster than one that is not there", async () => {
  const server = await startPlainServer(() => Buffer.from("HTTP/1.1 400 Bad Request\r\n\r\n"));
  try {
    const { delays, device } = await delaysOf(server.port, 30, {
      RECONNECT_FIRST_MS: 100,
      RECONNECT_DOUBLINGS: 3,
    });
    assert.ok(Math.max(...delays.slice(4)) > 500);
    assert.ok(device.lines.includes(`E${SENT + UNEXPECTED_MESSAGE}`), device.lines.join("\n"));
    device.powerOff();
  } finally {
    await server.stop();
  }
});

test("R28 a server that completes TLS but is no broker does not reset the delay", async () => {
  const server = await startScriptedServer({
    key: (identity) => (identity.toString() === IDENTITY ? KEY : undefined),
    onApplicationData: (session) => session.end(),
  });
  try {
    const { delays } = await delaysOf(server.port, 30, {
      RECONNECT_FIRST_MS: 100,
      RECONNECT_DOUBLINGS: 3,
    });
    assert.equal(delays.length, 30);
    assert.ok(Math.max(...delays.slice(4)) > 500);
  } finally {
    await server.stop();
  }
});

for (const [what, lost] of [
  ["the timer of an attempt", ATTEMPT],
  ["the end of a session", SESSION_ENDED],
] as const)
  test(`${what} that was lost, out of memory, is made up for by a tick`, async () => {
    const watch = new Watch();
    let errors = 0;
    let drops = 1;
    const device = await TestDevice.boot("esp32-sim", {
      entry: "firmware/main.ts",
      defines: { KEEP_ALIVE_S: 1 },
      port: await freePort(),
      onLine(line) {
        if (line === `E${NO_SERVER}`) errors++;
        watch.wake();
      },
      prepare(machine) {
        replaceSetTimeout(
          machine,
          (own) =>
            (callback, delay, ...rest) =>
              rest[0] === lost && drops-- > 0 ? 1e6 : own(callback, delay, ...rest),
        );
      },
    });
    devices.push(device);
    await watch.until(() => errors >= 2, 20_000);
    assert.ok(errors >= 2 && drops <= 0, device.lines.join("\n"));
  });
