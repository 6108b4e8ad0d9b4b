// The figures of the gateway's page, measured: handshakes by processor time beside a reference server in C, memory of an idle
// device, the longest gap of a good device while another does not read, slow devices under a flood of bare connections,
// and memory under overload. The servers run on the first core, their clients on the second.
// Leaves out: networks. All of it is on 127.0.0.1, and says nothing of latency.
import { spawn, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, connect as connectTcp, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import mqtt, { type Packet } from "mqtt-packet";
import { UsageError } from "../../cli/exit";
import { leafOf, treeRoot } from "../../keys/epoch_tree";
import { clientIdOf, parseIdentity } from "../../keys/identity";
import { deriveDeviceKey } from "../../keys/kdf";
import { randomKey } from "../../keys/weak_keys";

export interface Row {
  what: string;
  value: number;
  unit: string;
}

interface Sizes {
  handshakes: number;
  devices: number;
}

interface Running {
  port: number;
  operatorPort: number;
  pid: number;
  stop(): Promise<void>;
}

const TICK_MS = 10; // of /proc/PID/stat, at 100 a second
const EPOCH = 0x2f0;
const AT_ONCE = 8; // handshakes under way at a time
const SLOW_MS = 2_800; // what a device computes between ServerHello and its answer
const HERE = join("scripts", "lib", "gateway");

const master = randomKey();
const folder = mkdtempSync(join(tmpdir(), "gateway-report-"));
const processes = new Set<Running>();

/** Measure all, and give each figure as it is there. */
export async function report({ handshakes, devices }: Sizes, give: (row: Row) => void): Promise<void> {
  spawnSync("taskset", ["-pc", "1", `${process.pid}`]);
  writeFileSync(join(folder, "master"), master, { mode: 0o600 });
  writeFileSync(join(folder, "list"), "key-version 1\n");
  build();
  const doors: Record<string, () => Promise<Running>> = {
    "reference server in C": reference,
    "Mosquitto with the plugin": plugin,
    "the gateway, broker inside": () => gateway([]),
    "the gateway, Mosquitto upstream": async () => {
      const broker = await plainMosquitto();
      return gateway(["--upstream", `mqtt://127.0.0.1:${broker.port}`]);
    },
  };
  try {
    let ofReference = 0;
    for (const [name, start] of Object.entries(doors)) {
      let door = await start();
      const costOf = async (epoch?: number) => {
        const before = cpuMs(door.pid);
        await handshakesOf(door, handshakes, epoch);
        await pause(300);
        return (cpuMs(door.pid) - before) / handshakes;
      };
      await costOf(); // warm up
      const each = await costOf();
      if (!ofReference) ofReference = each;
      give({ what: `${name}: a handshake and CONNECT`, value: round(each, 3), unit: "ms of processor" });
      give({ what: `${name}: beside C`, value: round(ofReference / each, 2), unit: "" });
      if (start !== reference) {
        await costOf(EPOCH);
        const value = round((await costOf(EPOCH)) / each, 2);
        give({ what: `${name}: with an epoch, beside one without`, value, unit: "" });
      }
      await stopAll();
      door = await start();
      await handshakesOf(door, 200);
      const empty = residentKb(door.pid);
      const idle = await idleDevices(door, devices);
      await pause(2_000);
      give({
        what: `${name}: memory of an idle device`,
        value: round((residentKb(door.pid) - empty) / devices, 1),
        unit: "kB",
      });
      for (const socket of idle) socket.destroy();
      await stopAll();
    }
    await gap(give);
    await lockout(give);
    await overload(give);
  } finally {
    await stopAll();
    rmSync(folder, { recursive: true });
  }
}

// ------------------------------------------------------------------------------------------------ figures

/** One does not read while much is sent to it; another gets a message each 20 ms. */
async function gap(give: (row: Row) => void): Promise<void> {
  const door = await gateway([]);
  const [deaf, good] = [await device(door, "DEAF"), await device(door, "GOOD")];
  for (const client of [deaf, good])
    client.write(subscribe(client === deaf ? "meter/DEAF/down/#" : "meter/GOOD/down/#"));
  await pause(500);
  deaf.pause();
  let last = performance.now();
  let longestMs = 0;
  good.on("data", () => {
    longestMs = Math.max(longestMs, performance.now() - last);
    last = performance.now();
  });
  const operator = await plainClient(door.operatorPort);
  const end = Date.now() + 8_000;
  last = performance.now();
  while (Date.now() < end) {
    for (let i = 0; i < 50; i++) operator.write(publish("meter/DEAF/down/x", Buffer.alloc(4_000)));
    operator.write(publish("meter/GOOD/down/x", Buffer.from("x")));
    await pause(20);
  }
  give({
    what: "the longest gap of a good device beside one that does not read",
    value: round(longestMs / 1000, 2),
    unit: "s",
  });
  for (const socket of [deaf, good, operator]) socket.destroy();
  await stopAll();
}

/** Slow devices under floods of bare connections. */
async function lockout(give: (row: Row) => void): Promise<void> {
  const cases = [
    {
      what: "400 bare connections/s from six addresses: slow devices let in of 36",
      slow: 36,
      bare: 400,
      from: 6,
    },
    { what: "80/s from the devices' own address: slow devices let in of 36", slow: 36, bare: 80, from: 0 },
    { what: "600 slow devices behind one address: let in without a second try", slow: 600, bare: 0, from: 0 },
  ];
  for (const { what, slow, bare, from } of cases) {
    const door = await gateway([]);
    const relay = await slowRelay(door.port);
    const flood: Socket[] = [];
    const timer = setInterval(() => {
      for (let i = 0; i < bare / 20; i++) {
        const localAddress = from ? `127.0.1.${1 + (flood.length % from)}` : "127.0.0.1";
        const socket = connectTcp({ port: door.port, host: "127.0.0.1", localAddress });
        flood.push(socket.on("error", () => {}));
      }
    }, 50);
    await pause(bare ? 4_000 : 0);
    const tries = await Promise.all(
      Array.from({ length: slow }, (_, i) =>
        device({ ...door, port: relay.port }, `SLOW${i}`).then(
          (socket) => (socket.destroy(), true),
          () => false,
        ),
      ),
    );
    clearInterval(timer);
    give({ what, value: tries.filter(Boolean).length, unit: `of ${slow}` });
    for (const socket of flood) socket.destroy();
    relay.close();
    await stopAll();
  }
}

/** 200 devices that send as fast as they can, for ten seconds. */
async function overload(give: (row: Row) => void): Promise<void> {
  const door = await gateway([]);
  const before = residentKb(door.pid);
  const flood = await Promise.all(Array.from({ length: 200 }, (_, i) => device(door, `FLOOD${i}`)));
  const packets = flood.map((_, i) =>
    Buffer.concat(Array.from({ length: 2_000 }, () => publish(`meter/FLOOD${i}/up/x`, Buffer.alloc(20)))),
  );
  for (const [i, socket] of flood.entries()) {
    const more = () => {
      while (!socket.destroyed && socket.write(packets[i]));
    };
    socket.on("drain", more);
    more();
  }
  let most = before;
  for (let i = 0; i < 20; i++) {
    await pause(500);
    most = Math.max(most, residentKb(door.pid));
  }
  give({
    what: "memory before, and at most while 200 devices send at full rate",
    value: Math.round(before / 1024),
    unit: `MB, ${Math.round(most / 1024)} MB`,
  });
  for (const socket of flood) socket.destroy();
  await stopAll();
}

// ------------------------------------------------------------------------------------------------ clients

function device({ port }: { port: number }, serial: string, epoch?: number): Promise<Socket> {
  const identity = parseIdentity(`v1.meter.${serial}`);
  const shown =
    epoch === undefined
      ? { identity: identity.text, psk: deriveDeviceKey(master, identity) }
      : {
          identity: `${identity.text}.e${epoch.toString(16)}`,
          psk: leafOf(treeRoot(master, identity.text), epoch),
        };
  return new Promise((resolve, reject) => {
    const socket = connectTls({
      ...{ host: "127.0.0.1", port, maxVersion: "TLSv1.2", ciphers: "PSK-AES128-CCM8:@SECLEVEL=0" },
      pskCallback: () => shown,
      checkServerIdentity: () => undefined,
    });
    socket.once("secureConnect", () => socket.write(connectPacket(clientIdOf(identity))));
    socket.once("data", (bytes) =>
      bytes[0] === 0x20 && bytes[3] === 0
        ? resolve(socket)
        : reject(new Error(`refused: ${bytes.toString("hex")}`)),
    );
    socket.on("error", reject);
    socket.once("close", () => reject(new Error("closed")));
  });
}

async function handshakesOf(door: Running, count: number, epoch?: number): Promise<void> {
  let left = count;
  const one = async () => {
    while (left-- > 0) (await device(door, `D${left}`, epoch)).destroy();
  };
  await Promise.all(Array.from({ length: AT_ONCE }, one));
}

async function idleDevices(door: Running, count: number): Promise<Socket[]> {
  const sockets: Socket[] = [];
  let next = 0;
  const one = async () => {
    while (next < count) sockets.push(await device(door, `IDLE${next++}`));
  };
  await Promise.all(Array.from({ length: AT_ONCE }, one));
  return sockets;
}

function plainClient(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connectTcp(port, "127.0.0.1", () => socket.write(connectPacket("report")));
    socket.once("data", () => resolve(socket)).once("error", reject);
  });
}

const connectPacket = (clientId: string) =>
  mqtt.generate({
    cmd: "connect",
    protocolId: "MQTT",
    protocolVersion: 4,
    clean: true,
    clientId,
    keepalive: 600,
  } as Packet);
const publish = (topic: string, payload: Buffer) =>
  mqtt.generate({ cmd: "publish", topic, payload, qos: 0, dup: false, retain: false });
const subscribe = (topic: string) =>
  mqtt.generate({ cmd: "subscribe", messageId: 1, subscriptions: [{ topic, qos: 0 }] } as Packet);

/** A relay behind which every client thinks for a while before its second flight. */
async function slowRelay(port: number): Promise<{ port: number; close(): void }> {
  const server = createServer((client) => {
    const onward = connectTcp(port, "127.0.0.1");
    for (const socket of [client, onward]) socket.on("error", () => {});
    onward.pipe(client);
    let flights = 0;
    client.on("data", (bytes) => {
      if (++flights === 2) {
        client.pause();
        setTimeout(() => (client.resume(), onward.write(bytes)), SLOW_MS);
      } else onward.write(bytes);
    });
    client.on("close", () => onward.destroy());
    onward.on("close", () => client.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { port: (server.address() as AddressInfo).port, close: () => server.close() };
}

// ------------------------------------------------------------------------------------------------ servers

function build(): void {
  mkdirSync("dist/gateway", { recursive: true });
  const source = join(HERE, "report", "reference_server.c");
  const compile = [
    "-std=c11",
    "-D_GNU_SOURCE",
    "-O2",
    "-o",
    "dist/gateway/reference_server",
    source,
    "-lssl",
    "-lcrypto",
  ];
  for (const [command, ...args] of [
    ["cc", ...compile],
    ["make", "mosquitto-plugin"],
  ]) {
    const { status, stderr } = spawnSync(command, args, { encoding: "utf8" });
    if (status !== 0)
      throw new UsageError(
        `${command} fails; it needs gcc, libssl-dev, mosquitto-dev and libp11-kit-dev. ${stderr ?? ""}`,
      );
  }
}

async function reference(): Promise<Running> {
  const port = await freePort();
  return started("dist/gateway/reference_server", [`${port}`], {
    port,
    input: `${master.toString("hex")}\n`,
  });
}

async function plugin(): Promise<Running> {
  const [port, operatorPort] = [await freePort(), await freePort()];
  const file = join(folder, `mosquitto-${port}.conf`);
  const text = readFileSync(join(HERE, "mosquitto", "mosquitto.conf"), "utf8")
    .replace("persistence_location /var/lib/mosquitto/", `persistence_location ${folder}/`)
    .replace("listener 8883", `listener ${port} 127.0.0.1`)
    .replace("listener 1883 127.0.0.1", `listener ${operatorPort} 127.0.0.1`)
    .replace("/usr/local/lib/mosquitto/psk_plugin.so", join(process.cwd(), "dist/mosquitto/psk_plugin.so"))
    .replace("plugin_opt_credential psk-master", `plugin_opt_master ${join(folder, "master")}`)
    .replace("/etc/mosquitto/fleet.list", join(folder, "list"));
  writeFileSync(file, `${process.getuid?.() === 0 ? "user root\n" : ""}${text}`);
  const env = { OPENSSL_CONF: join(process.cwd(), HERE, "mosquitto", "openssl.cnf") };
  return started("mosquitto", ["-c", file], { port, operatorPort, env });
}

async function plainMosquitto(): Promise<Running> {
  const port = await freePort();
  const file = join(folder, `plain-${port}.conf`);
  writeFileSync(file, `listener ${port} 127.0.0.1\nallow_anonymous true\nmax_connections -1\n`);
  return started("mosquitto", ["-c", file], { port, core: "1" });
}

async function gateway(more: string[]): Promise<Running> {
  const [port, operatorPort] = [await freePort(), await freePort()];
  const operator = more.length ? [] : ["--operator-port", `${operatorPort}`];
  const files = ["--master", join(folder, "master"), "--list", join(folder, "list")];
  const args = ["scripts/gateway.ts", ...files, "--listen", `127.0.0.1:${port}`, ...operator, ...more];
  return started(process.execPath, ["--import", "tsx", ...args], { port, operatorPort });
}

async function started(
  command: string,
  args: string[],
  {
    port,
    operatorPort = 0,
    input = "",
    env = {},
    core = "0",
  }: { port: number; operatorPort?: number; input?: string; env?: Record<string, string>; core?: string },
): Promise<Running> {
  const child = spawn("taskset", ["-c", core, "setpriv", "--pdeathsig", "KILL", "--", command, ...args], {
    stdio: ["pipe", "ignore", "pipe"],
    env: { ...process.env, ...env },
  });
  let said = "";
  child.stderr.on("data", (bytes) => (said = `${said}${bytes}`.slice(-2_000)));
  child.stdin.on("error", () => {});
  child.stdin.write(input);
  const exited = new Promise<void>((resolve) => child.once("close", () => resolve()));
  const running: Running = {
    ...{ port, operatorPort, pid: child.pid as number },
    async stop() {
      processes.delete(running);
      child.kill("SIGKILL");
      await exited;
    },
  };
  processes.add(running);
  const end = Date.now() + 60_000;
  while (!(await listens(port))) {
    if (child.exitCode !== null || Date.now() > end)
      throw new UsageError(`${command} does not start: ${said}`);
    await pause(50);
  }
  return running;
}

async function stopAll(): Promise<void> {
  await Promise.all([...processes].map((running) => running.stop()));
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const round = (value: number, digits: number) => Number(value.toFixed(digits));

/** User and system time of a process so far: fields 14 and 15 of proc(5). */
function cpuMs(pid: number): number {
  const [, rest] = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ");
  const fields = rest.split(" ");
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
}

function residentKb(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connectTcp(port, "127.0.0.1");
    socket.once("connect", () => (socket.destroy(), resolve(true))).once("error", () => resolve(false));
  });
}
