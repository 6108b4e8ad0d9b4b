// `npm run tunnel` as a program: a simulated device of the profile esp behind it, its telemetry out and a command back; a restart; the list read again;
// and every wrong option, file and port: a sentence and 2.
import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { parseIdentity } from "./lib/keys/identity";
import { deriveDeviceKey } from "./lib/keys/kdf";
import { randomKey } from "./lib/keys/weak_keys";
import { TestDevice, Watch } from "./lib/test/device";
import { recordOf } from "./lib/test/factory";
import { freePort, runProgram, waitUntilReady } from "./lib/test/peers/process";
import { nodeArguments } from "./lib/test/program";

const folder = mkdtempSync(join(tmpdir(), "tunnel-command-"));
const at = (name: string) => join(folder, name);
const ends: (() => Promise<void> | void)[] = [];
after(async () => {
  for (const end of ends.reverse()) await end();
  rmSync(folder, { recursive: true });
});

const master = randomKey();
writeFileSync(at("master"), master, { mode: 0o600 });
const IDENTITY = "v1.sensor.0001";
const LIST = `# of the test\n\n${IDENTITY}\n`;
writeFileSync(at("devices"), LIST);

const start = (...args: string[]) =>
  runProgram({ command: process.execPath, args: nodeArguments("scripts/tunnel.ts", ...args) });

test("R5 R15 a device's telemetry goes out, a command comes back, also after a restart; who is taken off the list is out", async () => {
  const watch = new Watch();
  const consumer = createSocket("udp4");
  await new Promise<void>((resolve) => consumer.bind(0, "127.0.0.1", resolve));
  ends.push(() => void consumer.close());
  const said: string[] = [];
  consumer.on("message", (datagram) => {
    said.push(datagram.toString("latin1"));
    watch.wake();
  });
  const [listen, udp] = [await freePort(), await freePort()];
  const options = [
    ...["--master", at("master"), "--devices", at("devices"), "--counters", at("counters")],
    ...["--listen", `127.0.0.1:${listen}`, "--udp", `127.0.0.1:${udp}`],
    ...["--to", `127.0.0.1:${consumer.address().port}`],
  ];
  const tunnel = async () => {
    const program = start(...options);
    ends.push(() => program.stop());
    await waitUntilReady(program, "the tunnel", () => program.output().includes("lets in 1 devices"));
    return program;
  };
  let program = await tunnel();
  const psk = deriveDeviceKey(master, parseIdentity(IDENTITY), "kdf", "esp");
  const device = await TestDevice.boot("esp32-sim", {
    ...{ profile: "esp", entry: "firmware/main.ts", port: listen, identity: IDENTITY },
    key: recordOf([psk, randomKey(), randomKey(), randomKey()]).record,
    defines: { RECONNECT_FIRST_MS: 20, RECONNECT_DOUBLINGS: 0 },
  });
  ends.push(() => device.powerOff());
  for (let nth = 1; nth <= 2; nth++) {
    await watch.until(() => said.filter((text) => text.startsWith("sensor/0001/up/status {")).length === nth);
    consumer.send(`sensor/0001/down/x ${nth}`, udp, "127.0.0.1");
    await watch.until(() => said.includes(`sensor/0001/up/x ${nth}`));
    if (nth === 2) break;
    program.child.kill("SIGKILL");
    await program.exited;
    program = await tunnel();
  }
  assert.match(program.output(), /connected v1\.sensor\.0001 from 127/);
  writeFileSync(at("devices"), "v1.sensor.0002\n");
  program.child.kill("SIGHUP");
  await waitUntilReady(program, "the list", () => /the list has been read: 1 devices/.test(program.output()));
  await waitUntilReady(program, "the end", () =>
    /refused what came has an SPI of no device/.test(program.output()),
  );
  writeFileSync(at("devices"), "what is this\n");
  program.child.kill("SIGHUP");
  await waitUntilReady(program, "the sentence", () =>
    /line 1: .*The list stays as it was/.test(program.output()),
  );
  writeFileSync(at("devices"), LIST);
  program.child.kill("SIGTERM");
  assert.equal(await program.exited, 0);
});

test("R18 what is wrong in a command line, a file or a port is a sentence, and ends with 2", async () => {
  const taken = createServer().listen(0, "127.0.0.1");
  ends.push(() => void taken.close());
  await new Promise((resolve) => taken.once("listening", resolve));
  const takenPort = (taken.address() as { port: number }).port;
  const udp = createSocket("udp4");
  await new Promise<void>((resolve) => udp.bind(0, "127.0.0.1", resolve));
  ends.push(() => void udp.close());
  const free = await freePort();
  writeFileSync(at("weak"), Buffer.alloc(16), { mode: 0o600 });
  writeFileSync(at("open"), randomKey(), { mode: 0o644 });
  writeFileSync(at("wrong"), `${IDENTITY}\nv0.sensor.1\n`);
  writeFileSync(at("twice"), `${IDENTITY}\n${IDENTITY}\n`);
  writeFileSync(at("text"), "no database at all, but long enough to be taken for one\n".repeat(40));
  const good = {
    master: at("master"),
    devices: at("devices"),
    counters: at("other"),
    to: "127.0.0.1:9",
    listen: `127.0.0.1:${free}`,
    udp: `127.0.0.1:${await freePort()}`,
  };
  const rows: [
    Partial<Record<keyof typeof good | "transform" | "connections", string | undefined>>,
    RegExp,
  ][] = [
    [{ master: undefined }, /--master is missing/],
    [{ devices: undefined }, /--devices is missing/],
    [{ counters: undefined }, /--counters is missing/],
    [{ to: undefined }, /--to is missing/],
    [{ to: "example.com:9" }, /--to: "example\.com" is no IPv4 address/],
    [{ to: "127.0.0.1" }, /is not HOST:PORT/],
    [{ to: "127.0.0.1:0" }, /not a port/],
    [{ udp: "localhost:9" }, /--udp: "localhost" is no IPv4 address/],
    [{ transform: "gcm" }, /"gcm" is none of ccm, cbc/],
    [{ connections: "0" }, /whole number from 1/],
    [{ listen: `127.0.0.1:${takenPort}` }, /the tunnel cannot listen on .*another program listens there/],
    [{ udp: `127.0.0.1:${udp.address().port}` }, /the tunnel cannot take datagrams on .*in use/],
    [{ master: at("absent") }, /no such file/],
    [{ master: at("weak") }, /key/],
    [{ master: at("open") }, /chmod 600/],
    [{ devices: at("absent") }, /cannot read the list/],
    [{ devices: at("wrong") }, /wrong, line 2: the identity "v0\.sensor\.1"/],
    [{ devices: at("twice") }, /twice, line 2: v1\.sensor\.0001 is there twice/],
    [{ counters: join(folder, "nowhere", "x") }, /cannot write .*nowhere.*no such file or folder/],
    [{ counters: at("text") }, /sequence numbers in .*cannot be opened: it is no SQLite file/],
    [{ counters: folder }, /cannot (lock|be opened|write)/],
  ];
  for (const [change, sentence] of rows) {
    const given = Object.entries({ ...good, ...change }).flatMap(([name, value]) =>
      value ? [`--${name}`, value] : [],
    );
    const program = start(...given);
    assert.equal(await program.exited, 2, program.output());
    assert.match(program.output(), sentence);
    assert.ok(
      !/\n\s+at /.test(program.output()) && !program.output().includes(master.toString("hex")),
      program.output(),
    );
  }
});
