// A device with keys, console and updates on the real interpreter, board linux: the handshake with OpenSSL and Mosquitto, ten
// records of 512 bytes each way over MQTT, for every suite, and the peak of variables that this takes. Then the TLS
// socket as applications there have it. Needs ESPRUINO_BIN, any Linux build of Espruino; skipped without. A build of fewer
// than 500 variables that the run does not fit into is skipped with what the interpreter said.
import assert from "node:assert/strict";
import { after, before, type TestContext, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { loneBundle } from "../hal/simulator/lone_bundle";
import { buildBundle } from "../scripts/lib/bundle/build";
import { IDENTITY, KEY } from "../scripts/lib/test/device";
import { ENGINE, Engine } from "../scripts/lib/test/engine";
import {
  cannotFindPeak,
  findPeak,
  interpreter,
  peakLine,
  RECORDS,
  run,
  startMosquitto,
  startOpenssl,
} from "../scripts/lib/test/engine_run";
import { SOCKET_RECORDS, startSocketApplication } from "../scripts/lib/test/engine_socket";
import { skipWithout } from "../scripts/lib/test/peers/install";
import * as opensslServer from "../scripts/lib/test/peers/openssl_s_server";
import { EVERY_SUITE, profileWith, SUITES, type Suite } from "../scripts/lib/test/tls12/suites";

/** Most variables of a run on a build of 1,000 where one is 12 bytes, and the builds from which on a run must fit. */
const PEAK = 490;
const MOST = 500;
/** The product valve: what is reached of it, 489 to 500 by suite and run, and more than PEAK; it must fit from MOST on, too. */
const VALVE = "scripts/lib/test/products/valve_and_echo.ts";
const VALVE_PEAK = 510;
/** Variables with which an application of its own beside the socket must fit. */
const APPLICATION_MOST = 1000;
const VARIABLE_BYTES = 12;

const withoutEngine = ENGINE ? false : "ESPRUINO_BIN names no interpreter";
const withoutOpenssl = withoutEngine || skipWithout("openssl");
const withoutMosquitto = cannotFindPeak() ?? false;

const bundleWith = async (suite: Suite): Promise<string> =>
  (await buildBundle({ board: "linux", profile: profileWith(suite) })).code;
let build = { total: 0, variableBytes: 0 };
let largest = 0;

before(async () => {
  if (!ENGINE) return;
  build = await interpreter();
});

after(() => {
  if (largest) console.log(`peak ${largest} of ${build.total} variables`);
});

/** Whether a failure is one to skip: the interpreter is too small. Says so. */
function tooSmall(t: TestContext, failure: string, most = MOST): boolean {
  if (!failure || build.total >= most) return false;
  const why = `does not fit in ${build.total} variables: ${failure}`;
  console.log(why);
  t.skip(why);
  return true;
}

for (const { server, start, skip } of [
  { server: "OpenSSL", start: startOpenssl, skip: withoutOpenssl },
  { server: "Mosquitto", start: startMosquitto, skip: withoutMosquitto },
])
  for (const suite of EVERY_SUITE)
    test(`the interpreter talks MQTT to ${server} with ${suite.name}`, { skip }, async (t) => {
      const broker = await start(suite);
      try {
        const { failure, down, up } = await run(await bundleWith(suite), suite, broker);
        if (tooSmall(t, failure)) return;
        assert.equal(failure, "", broker.output());
        assert.deepEqual({ down, up }, { down: RECORDS, up: RECORDS });
      } finally {
        await broker.stop();
      }
    });

for (const suite of EVERY_SUITE)
  test(`peak of variables with ${suite.name}`, { skip: withoutMosquitto }, async (t) => {
    const peak = await findPeak(await bundleWith(suite), suite, largest || undefined);
    if (tooSmall(t, peak.unladen.failure)) return;
    assert.equal(peak.unladen.failure, "");
    console.log(peakLine(suite, peak));
    largest = Math.max(largest, peak.peak);
    if (build.variableBytes === VARIABLE_BYTES)
      assert.ok(peak.peak <= (build.total > MOST ? PEAK : MOST), `${peak.peak} variables`);
  });

for (const suite of EVERY_SUITE)
  test(`an application's socket on the interpreter talks to OpenSSL with ${suite.name}`, {
    skip: withoutOpenssl,
  }, async (t) => {
    const server = await opensslServer.start({ suite: suite.code, identity: IDENTITY, key: KEY });
    const { code } = await buildBundle({
      board: "linux",
      entry: "firmware/tls/socket_app.ts",
      profile: profileWith(suite),
    });
    const engine = startSocketApplication(code, server.port);
    try {
      const failed = /OUT OF MEMORY|interpreter error: .*\bMEMORY|Not enough memory|Uncaught/;
      const [line] = await engine.line(new RegExp(`^closed .*|^error .*|${failed.source}.*`));
      if (tooSmall(t, failed.test(line) ? line : "", APPLICATION_MOST)) return;
      assert.equal(line, `closed 0 ${SOCKET_RECORDS} 0 true`, engine.lines.join("\n"));
    } finally {
      await engine.stop();
      await server.stop();
    }
  });

for (const suite of SUITES)
  test(`the same run with the product valve, and ${suite.name}`, { skip: withoutMosquitto }, async (t) => {
    const { code } = await buildBundle({ board: "linux", product: VALVE });
    const broker = await startMosquitto(suite);
    try {
      const { failure, down, up } = await run(code, suite, broker);
      if (tooSmall(t, failure)) return;
      assert.equal(failure, "", broker.output());
      assert.deepEqual({ down, up }, { down: RECORDS, up: RECORDS });
    } finally {
      await broker.stop();
    }
  });

test("peak of variables with the product valve, where it is highest", {
  skip: withoutMosquitto,
}, async (t) => {
  const suite = SUITES.find(({ name }) => name.endsWith("CBC_SHA256")) as Suite;
  const { code } = await buildBundle({ board: "linux", product: VALVE });
  const peak = await findPeak(code, suite, VALVE_PEAK);
  if (tooSmall(t, peak.unladen.failure)) return;
  assert.equal(peak.unladen.failure, "");
  console.log(peakLine(suite, peak));
  if (build.variableBytes === VARIABLE_BYTES) assert.ok(peak.peak <= VALVE_PEAK, `${peak.peak} variables`);
});

test("a tick that runs out of memory is not the last one", { skip: withoutMosquitto }, async (t) => {
  if (build.variableBytes !== VARIABLE_BYTES) return t.skip("its heap may grow for ever");
  const broker = await startMosquitto(SUITES[0]);
  const { code } = await buildBundle({ board: "linux", defines: { KEEP_ALIVE_S: 4 } });
  // the second telemetry's look at the heap takes all of it: Espruino ends the event, and removes its interval, if it has one
  const hog =
    "process.memory=function(){if(++looks==2)for(var all=[];;)all.push(all.length);return memory()}";
  const engine = new Engine({
    ...loneBundle(code),
    ".boot0": `var looks=0,memory=process.memory;${hog}`,
    conf: JSON.stringify({ id: IDENTITY, host: "127.0.0.1", port: broker.port }),
    key: KEY.toString("latin1"),
  });
  const told = () => broker.published().filter((message) => message.includes('"up":')).length;
  try {
    const line = await engine.line(/^E9$|OUT OF MEMORY/);
    if (tooSmall(t, told() ? "" : line[0])) return;
    for (const deadline = Date.now() + 30_000; told() < 3; await delay(50))
      assert.ok(Date.now() < deadline, [...engine.lines, broker.output()].join("\n"));
    // in one session: without ticks the broker ends it, and the next one begins with telemetry too
    assert.equal(broker.output().match(/New client connected .* as sensor-0001/g)?.length, 1);
  } finally {
    await engine.stop();
    await broker.stop();
  }
});
