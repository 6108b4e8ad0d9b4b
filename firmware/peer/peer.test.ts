/*
 * The built bundle of the profile `peer` on simulated boards with real Mosquittos and the real ticket service, and somebody between them who
 * carries all of it: what he alters, cuts, repeats, reflects, delays and invents is refused, nothing is carried out twice or
 * for nobody, and what stood goes on. One network for all tests: each leaves it as it was.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, afterEach, before, test } from "node:test";
import { EMPTY_LIST } from "../../scripts/lib/gateway/fleet_list";
import { ticketKey } from "../../scripts/lib/keys/peer_keys";
import { PROJECT } from "../../scripts/lib/project";
import { answered, ticketCosts } from "../../scripts/lib/test/peer/costs";
import { type Carried, type PeerDevice, PeerNetwork, type Wire } from "../../scripts/lib/test/peer/network";
import { skipWithout } from "../../scripts/lib/test/peers/install";
import { TELEMETRY_BYTES } from "../../scripts/lib/test/profile_figures";
import { open } from "../../scripts/lib/tickets/messages";
import { PEER_REFUSED } from "../tls/alert";
import { ANSWER, HELLO, MESSAGE, NONCE, REQUEST, TICKET } from "./constants";

const skip = skipWithout("mosquitto");
/** Longer than a command is waited for, milliseconds. */
const PATIENCE_MS = 31_000;
/** Bytes of a message with number 0: type, number, tag. */
const PROOF_LENGTH = 1 + 4 + 16;
const FROM_ASKER = MESSAGE;
const FROM_ASKED = MESSAGE + 1;

let network: PeerNetwork;
let a: PeerDevice;
let b: PeerDevice;
let c: PeerDevice;
before(async () => {
  if (skip) return;

  network = await PeerNetwork.start(["A1", "B2", "C3"]);
  [a, b, c] = network.devices;
});
after(() => network?.stop());
afterEach(() => {
  // no test has cost a session
  for (const { device } of network?.devices ?? [])
    assert.deepEqual(
      device.lines.filter((line) => line === "granted"),
      ["granted"],
      device.lines.join(),
    );
});

/** Give up what is under way: time passes; what the device asks its broker meanwhile is answered. */
async function patience(from: PeerDevice): Promise<void> {
  await from.device.machine.later(PATIENCE_MS);
  await answered(from);
}

/** Command and have it answered, and carried out once, whatever the wire does meanwhile; over a session that is new or stands. */
async function honest(from: PeerDevice, to: PeerDevice, name = "valve"): Promise<void> {
  const before = to.obeyed().length;
  assert.equal(await network.ask(from, to, name, "closed"), `${name}=closed`);
  assert.deepEqual(to.obeyed().slice(before), [name]);
}

/**
 * End the session in which `from` commands: it commands another device. Where that one obeys somebody else by now it does not hear of the
 * first command, and the second one begins anew.
 */
async function anew(from: PeerDevice, other: PeerDevice): Promise<void> {
  network.wire = () => undefined;
  const before = from.answers().length;
  while (!(await network.until(() => from.answers().length > before, 300))) {
    from.tell(other.serial, "other", "");
    if (await network.until(() => from.answers().length > before, 300)) return;
    await patience(from);
  }
}

/** A device tells a code once in a row: so it tells it again. */
function forget({ device: { machine } }: PeerDevice): void {
  machine.setValue("lastError", 0);
}

/** Whether a message goes up: to another device or to the service. */
const isUp = ({ topic }: Carried) => topic.includes("/up/");

/** All that a message begins with, and the message with a byte more. */
function lengths({ topic, payload }: Carried): Carried[] {
  const cuts = [...payload.keys()].map((at) => payload.subarray(0, at));
  return [...cuts, Buffer.concat([payload, Buffer.alloc(1)])].map((each) => ({ topic, payload: each }));
}

/** The same, and all of its bytes with a bit flipped, one each. */
function mutants(message: Carried): Carried[] {
  const { topic, payload } = message;
  const flipped = [...payload.keys()].map((at) => {
    const each = Buffer.from(payload);
    each[at] ^= 1 << (at % 8);
    return { topic, payload: each };
  });
  return [...flipped, ...lengths(message)];
}

/** Wires that do this to the first message of a type on its way up (to the service or towards the other device), and nothing to others. */
function once(type: number, change: (message: Carried) => Carried[]): Wire {
  let isDone = false;
  return (message) => {
    if (isDone || message.payload[0] !== type || !isUp(message) === (type !== ANSWER)) return undefined;
    isDone = true;
    return change(message);
  };
}

/** The key of the last session, by its answer, as the asker opens it. */
function sessionKey(asker: PeerDevice): Buffer {
  const last = (type: number) => network.carried.filter(({ payload }) => payload[0] === type).at(-1)?.payload;
  const [request, answer] = [last(REQUEST), last(ANSWER)];
  assert.ok(request && answer);
  const context = Buffer.concat([request.subarray(1, 23), request.subarray(39)]);
  const text = open(ticketKey(asker.key), ANSWER, answer.subarray(1, 12), context, answer.subarray(12));
  assert.ok(text);
  return text.subarray(0, 16);
}

test("what tickets cost, as PROFILES.md says it", { skip }, async () => {
  const page = readFileSync(join(PROJECT, "firmware/PROFILES.md"), "utf8");
  for (const [name, counts] of await ticketCosts(network, [a, b], "t".repeat(TELEMETRY_BYTES))) {
    const said = page.split("\n").find((line) => line.startsWith(`| ${name} |`));
    const wanted = said?.match(/\d+(?=[, ].*\|)/g)?.slice(-6);
    assert.ok(wanted, name);
    assert.deepEqual(counts, wanted.map(Number), name);
  }
});

test("one device commands another one, and has its answer; the session serves for the next command", {
  skip,
}, async () => {
  await honest(a, b);
  const tickets = () => network.events.filter(({ event }) => event === "ticket").length;
  assert.equal(tickets(), 1);
  assert.equal(await network.ask(a, b, "code", ""), 'code={"err":30}');
  assert.equal(await network.ask(a, b, "nothing", "x"), "nothing=");
  assert.equal(await network.ask(a, b, "throw", "x"), 'throw={"err":47}');
  assert.equal(await network.ask(a, b, "empty", ""), "empty=");
  const bytes = "0123456789".repeat(40).slice(4);
  assert.equal(await network.ask(a, b, "long", bytes), `long=${bytes}`);
  assert.ok(!a.tell("B2", "long", `${bytes}x`), "over 400 bytes");
  assert.equal(tickets(), 1);
  // no secret and no word of a command is in what was carried
  const key = sessionKey(a);
  for (const { payload } of network.carried)
    for (const secret of [key, a.key, b.key, Buffer.from("valve"), Buffer.from("closed")])
      assert.ok(!payload.includes(secret));
});

test("each of two commands the other, both at once, and a third one", { skip }, async () => {
  const [ab, ba, ca] = [
    network.ask(a, b, "ab", "1"),
    network.ask(b, a, "ba", "2"),
    network.ask(c, a, "ca", "3"),
  ];
  await patience(c);
  // a nonce is for the last one who asked: another one who asked at the same time tells it again
  const again = async (asked: Promise<string>, from: PeerDevice) => {
    for (let isDone = false; !isDone; ) {
      void asked.then(() => (isDone = true));
      await network.until(() => isDone, 500);
      if (isDone) return;
      await patience(from);
      from.tell("A1", from === b ? "ba" : "ca", from === b ? "2" : "3");
    }
  };
  assert.equal(await ab, "ab=1");
  await Promise.all([again(ba, b), again(ca, c)]);
  assert.equal(await ba, "ba=2");
  assert.equal(await ca, "ca=3");
});

for (const [name, type] of Object.entries({ ANSWER, TICKET, proof: FROM_ASKED, command: FROM_ASKER }))
  test(`R19 ${name}: cut short and altered in each byte it is refused, and behind all of these the true one is taken`, {
    skip,
  }, async () => {
    await anew(a, c);
    let count = 0;
    network.wire = once(type, (message) => {
      const all = mutants(message);
      count = all.length;
      return [...all, message];
    });
    await honest(a, b);
    assert.ok(count > 40, `${count}`);
    network.wire = () => undefined;
    await honest(a, b);
  });

test("R19 an answer cut short and altered is refused, and the true one is taken", { skip }, async () => {
  await honest(a, b);
  network.wire = once(FROM_ASKED, (message) => [...mutants(message), message]);
  await honest(a, b);
});

test("R19 REQUEST: the service refuses each one that is cut short or altered", { skip }, async () => {
  await anew(a, c);
  const before = network.events.length;
  let count = 0;
  network.wire = once(REQUEST, (message) => {
    const all = mutants(message).filter(({ payload }) => payload.length > 0);
    count = all.length;
    return [...all, message];
  });
  await honest(a, b);
  const events = network.events.slice(before);
  assert.equal(events.filter(({ event }) => event === "refused").length, count);
  assert.equal(events.filter(({ event }) => event === "ticket").length, 1);
});

for (const [name, type] of Object.entries({ HELLO, NONCE }))
  test(`R19 ${name}, which is under no key that who takes it has: altered it comes to no session`, {
    skip,
  }, async () => {
    await anew(a, c);
    const [obeyed, answers] = [b.obeyed().length, a.answers().length];
    const tickets = () => network.events.filter(({ event }) => event === "ticket").length;
    const before = tickets();
    const length = type === HELLO ? 24 : 40;
    for (let at = 0; at < length; at++) {
      let isOver = false;
      network.wire = once(type, ({ topic, payload }) => {
        const flipped = Buffer.from(payload);
        flipped[at] ^= 1 << (at % 8);
        isOver = true;
        return [{ topic, payload: flipped }];
      });
      assert.ok(a.tell("B2", "valve", "open"));
      await network.until(() => isOver);
      await patience(a);
    }
    network.wire = () => undefined;
    assert.equal(tickets(), before);
    await honest(a, b);
    assert.deepEqual([b.obeyed().length, tickets()], [obeyed + 1, before + 1]);
    assert.deepEqual(a.answers().slice(answers), ["valve=closed"]);
  });

test("R19 each message of a run cut at each byte, a byte longer, twice, at a later step and to the wrong side: a code, nothing grows, and the true one is taken", {
  skip,
}, async () => {
  await anew(a, c);
  await honest(a, b);
  const held = [a, b].map(({ device }) => device.heldCharacters);
  const obeyed = b.obeyed().length;
  const lastError = ({ device }: PeerDevice) => Number(device.machine.value("lastError"));
  const to = ({ topic }: Carried) => (topic.startsWith("sensor/A1/") ? a : b);
  /** The same bytes as if the one who gets them had said them to the other one. */
  const turned = (message: Carried): Carried => {
    const other = to(message) === a ? b : a;
    const topic = message.topic.endsWith("/ticket")
      ? `sensor/${other.serial}/down/ticket`
      : `sensor/${other.serial}/down/peer/${to(message).serial}`;
    return { topic, payload: message.payload };
  };
  await anew(a, c);
  const seen: Carried[] = [];
  const told: number[] = [];
  const kind = ({ payload }: Carried) => `${payload[0]} ${payload.length > PROOF_LENGTH}`;
  network.wire = (message) => {
    // on its way to a device, the first of its kind: what is made of it here makes others
    if (isUp(message) || seen.some((other) => kind(other) === kind(message))) return undefined;
    const earlier = seen.toReversed();
    const device = to(message);
    if (earlier.some((other) => to(other) === device)) told.push(lastError(device));
    forget(device);
    seen.push(message);
    return [
      ...lengths(message),
      ...[...earlier, turned(message), ...earlier.map(turned)],
      ...[message, message],
    ];
  };
  await honest(a, b, "once");
  network.wire = () => undefined;
  await honest(a, b, "then");
  assert.deepEqual(b.obeyed().slice(obeyed), ["once", "then"]);
  assert.deepEqual(
    seen.map(({ payload }) => payload[0]),
    [HELLO, NONCE, ANSWER, TICKET, FROM_ASKED, FROM_ASKER, FROM_ASKED],
  );
  for (const each of [a, b]) told.push(lastError(each));
  assert.deepEqual(told, Array(seen.length).fill(PEER_REFUSED));
  for (const [at, { device }] of [a, b].entries())
    assert.ok(Math.abs(device.heldCharacters - held[at]) < 64, `${device.heldCharacters} of ${held[at]}`);
});

test("a broker that sends everything twice: each command is carried out once and answered once", {
  skip,
}, async () => {
  await anew(a, c);
  network.wire = (message) => [message, message];
  const before = a.answers().length;
  for (let i = 0; i < 4; i++) await honest(a, b, `twice${i}`);
  network.wire = () => undefined;
  await honest(a, b, "last");
  assert.deepEqual(a.answers().slice(before), [
    "twice0=closed",
    "twice1=closed",
    "twice2=closed",
    "twice3=closed",
    "last=closed",
  ]);
});

test("all of the last session said again in a new one, at each of its steps: nothing of it counts, its ticket neither", {
  skip,
}, async () => {
  await anew(a, c);
  const from = network.carried.length;
  await honest(a, b);
  await honest(a, b);
  const old = network.carried.slice(from).filter((message) => !isUp(message) && message.payload[0] !== HELLO);
  assert.deepEqual([...new Set(old.map(({ payload }) => payload[0]))].sort(), [
    NONCE,
    ANSWER,
    TICKET,
    FROM_ASKER,
    FROM_ASKED,
  ]);
  await anew(a, c);
  const obeyed = b.obeyed().length;
  // the old nonce would be taken for the new one, and the service would not: it is the last to be said again
  const tail = old.filter(({ payload }) => payload[0] !== NONCE);
  network.wire = (message) => (isUp(message) ? undefined : [...tail, message, ...tail]);
  await honest(a, b, "fresh");
  network.wire = () => undefined;
  await honest(a, b, "fresh");
  assert.deepEqual(b.obeyed().slice(obeyed), ["fresh", "fresh"]);
});

test("an old nonce in the new one's place: the service refuses it, for the other device has given it to another run", {
  skip,
}, async () => {
  await anew(a, c);
  await honest(a, b);
  const old = network.carried.filter(
    ({ topic, payload }) => payload[0] === NONCE && topic === "sensor/A1/down/peer/B2",
  );
  await anew(a, c);
  const before = network.events.length;
  network.wire = once(NONCE, ({ topic }) => [{ topic, payload: (old.at(-1) as Carried).payload }]);
  assert.ok(a.tell("B2", "valve", "open"));
  await network.until(() => network.events.length > before);
  const [event] = network.events.slice(before);
  assert.match(
    event.event === "refused" ? event.reason : "",
    /its nonce is none that v1\.sensor\.B2 has given/,
  );
  await patience(a);
  network.wire = () => undefined;
  await honest(a, b);
});

test("what a device says, back to itself, in every step: no reflection counts", { skip }, async () => {
  await anew(a, c);
  network.wire = (message) => {
    const [product, serial, way, kind, to] = message.topic.split("/");
    if (way !== "up" || kind !== "peer") return undefined;
    // from the device that it talks to
    const back = { topic: `${product}/${serial}/down/peer/${to}`, payload: message.payload };
    queueMicrotask(() => network.inject("near", back));
    return undefined;
  };
  const [at, bt] = [a.obeyed().length, b.answers().length];
  await honest(a, b);
  await honest(a, b);
  network.wire = () => undefined;
  await honest(a, b);
  assert.deepEqual([a.obeyed().length, b.answers().length], [at, bt]);
});

test("wrong peers: a third one's nonce, another one's ticket, another one's name", { skip }, async () => {
  await anew(a, c);
  // C answers where B was asked
  network.wire = (message) =>
    message.topic === "sensor/A1/up/peer/B2"
      ? [{ topic: "sensor/A1/up/peer/C3", payload: message.payload }]
      : message.topic === "sensor/A1/down/peer/C3"
        ? [{ topic: "sensor/A1/down/peer/B2", payload: message.payload }]
        : undefined;
  const [obeyed, events] = [c.obeyed().length, network.events.length];
  const came = network.carried.length;
  assert.ok(a.tell("B2", "valve", "open"));
  await network.until(() =>
    network.carried.slice(came).some(({ topic }) => topic === "sensor/A1/down/peer/C3"),
  );
  await patience(a);
  assert.equal(network.events.length, events, "no ticket was asked for");
  // what is B's goes to C as well, who has given a nonce to A
  network.wire = (message) =>
    message.topic === "sensor/B2/down/peer/A1"
      ? [{ topic: "sensor/C3/down/peer/A1", payload: message.payload }, message]
      : undefined;
  await honest(a, b);
  assert.equal(c.obeyed().length, obeyed);
  // C as A: what it asks for is answered under A's key
  const hello = network.carried.findLast(({ payload }) => payload[0] === HELLO) as Carried;
  network.wire = (message) => (isUp(message) ? undefined : [message]);
  const before = network.events.length;
  const request = network.carried.findLast(({ payload }) => payload[0] === REQUEST) as Carried;
  network.inject("far", { topic: "sensor/C3/up/ticket", payload: request.payload });
  await network.until(() => network.events.length > before);
  assert.match(JSON.stringify(network.events.at(-1)), /it came from sensor\/C3, and is v1\.sensor\.A1's/);
  // under another name than the topic's a hello has no answer
  const count = network.carried.length;
  network.inject("near", { topic: "sensor/B2/down/peer/C3", payload: hello.payload });
  network.wire = () => undefined;
  await honest(a, b);
  assert.ok(!network.carried.slice(count).some(({ payload }) => payload[0] === NONCE));
});

test("who is denied gets no ticket and is in none; pairs say who may command whom", { skip }, async () => {
  await anew(a, c);
  await anew(b, c);
  const refused = async (from: PeerDevice, to: PeerDevice) => {
    const before = network.events.length;
    assert.ok(from.tell(to.serial, "valve", "open"));
    await network.until(() => network.events.length > before);
    await patience(from);
    const event = network.events[before];
    return event.event === "refused" ? event.reason : "a ticket";
  };
  await network.serve({ list: { ...EMPTY_LIST, denied: new Set([b.identity]) } });
  assert.equal(await refused(a, b), "v1.sensor.B2 is denied.");
  assert.equal(await refused(b, a), "v1.sensor.B2 is denied.");
  await network.serve({
    list: EMPTY_LIST,
    pairs: [
      ["A1", "B2"],
      ["*", "C3"],
    ],
  });
  assert.equal(await refused(b, a), "no pair lets v1.sensor.B2 command v1.sensor.A1.");
  await honest(a, b);
  await honest(b, c);
  await network.serve({ list: { ...EMPTY_LIST, keyVersion: 3 } });
  await patience(a);
  assert.equal(await refused(a, c), "v1.sensor.A1 is denied.");
  await network.serve({ list: EMPTY_LIST });
  await honest(a, b);
});

test("without the service a command waits, and is given up; an answer that comes late is none", {
  skip,
}, async () => {
  await anew(a, c);
  const late: Carried[] = [];
  network.wire = (message) => {
    if (message.payload[0] !== ANSWER) return undefined;
    late.push(message);
    return [];
  };
  const obeyed = b.obeyed().length;
  assert.ok(a.tell("B2", "first", ""));
  await network.until(() => late.length > 0);
  assert.ok(!a.tell("B2", "second", ""), "one at a time");
  await patience(a);
  // the next run asks, and gets the answer to the last one first
  network.wire = (message) => (message.payload[0] === ANSWER ? [...late, message] : undefined);
  await honest(a, b, "third");
  assert.deepEqual(b.obeyed().slice(obeyed), ["third"]);
  // a command that is lost ends the session: held back, and let go in the next one
  const held: Carried[] = [];
  network.wire = once(FROM_ASKER, (message) => {
    held.push(message);
    return [];
  });
  assert.ok(a.tell("B2", "held", ""));
  await network.until(() => held.length > 0);
  await patience(a);
  network.wire = once(FROM_ASKED, (message) => [...held, message]);
  await honest(a, b, "next");
  network.inject("far", held[0]);
  network.wire = () => undefined;
  await honest(a, b, "last");
  assert.deepEqual(b.obeyed().slice(obeyed), ["third", "next", "last"]);
});

test("the broker itself commands nothing, whatever it says, and nothing grows", { skip }, async () => {
  await honest(a, b);
  await honest(c, a);
  const held = [a, b].map(({ device }) => device.heldCharacters);
  const [obeyed, answers] = [b.obeyed().length, a.answers().length];
  const refusals = ({ codes }: PeerDevice) => codes().filter((code) => code === `E${PEER_REFUSED}`).length;
  for (const each of [a, b]) forget(each);
  const before = [a, b].map(refusals);
  for (const { serial } of [a, b]) {
    for (const payload of ["", "open", "1", "\x01".repeat(600)])
      for (const name of ["valve", "ticket", "peer/A1", "peer/C3", "peer/B2/more"])
        network.inject("near", { topic: `sensor/${serial}/down/${name}`, payload: Buffer.from(payload) });
    for (let i = 0; i < 300; i++) {
      const payload = Buffer.concat([Buffer.from([i % 10]), randomBytes((i * 37) % 500)]);
      network.inject("near", { topic: `sensor/${serial}/down/${i % 3 ? "peer/C3" : "ticket"}`, payload });
    }
  }
  await honest(a, b);
  await honest(c, a);
  assert.deepEqual([b.obeyed().length, a.answers().length], [obeyed + 1, answers + 1]);
  for (const [at, each] of [a, b].entries()) {
    const { heldCharacters } = each.device;
    assert.ok(Math.abs(heldCharacters - held[at]) < 64, `${heldCharacters} of ${held[at]}`);
    // told once: it may be said without end
    assert.equal(refusals(each), before[at] + 1);
  }
});

test("when the broker is gone no key and no context is left", { skip }, async () => {
  await anew(a, c);
  await honest(a, b);
  const key = sessionKey(a);
  const context = Buffer.from(`${a.identity}\0${b.identity}`);
  for (const { holds } of [a, b]) assert.ok(holds(key) && holds(context));
  const before = [a, b].map(({ codes }) => codes().length);
  await network.cut();
  await network.until(() => [a, b].every(({ codes }, at) => codes().length > before[at]));
  for (const { holds } of [a, b]) assert.ok(!holds(key) && !holds(context));
  assert.ok(!a.tell("B2", "valve", "open"));
});
