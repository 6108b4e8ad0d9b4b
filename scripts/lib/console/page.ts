// The technicians' page: a device's console over Web Serial, for laptops and tablets that have none of our tools. Status
// at a glance, with the sentence for its error; a test handshake as a diagram; self-test, log, unlocking; any command.
// It speaks JSON mode as the terminal does (session.ts), asks `status` whenever nothing else is asked, and sends nothing
// anywhere but to the device. Bundled into console.html by page_file.ts.
// Leaves out the answer to a challenge: that takes a key, and no page has one.
import { drawingSVG, qrcode } from "bwip-js/generic";
import {
  answerRows,
  codeText,
  durationText,
  eventText,
  failureOf,
  grouped,
  isLogEntry,
  logText,
} from "./answer_text";
import { COMMAND_TEXT } from "./command_text";
import { type Answer, ConsoleSession, lineFault, NoAnswer } from "./session";
import { lineOf, settingEffect } from "./settings_text";
import { HANDSHAKE_STEPS, STEP_UP, stepText } from "./step_text";

/** Web Serial (WICG), as far as it is used here. */
interface SerialPort {
  open(options: { baudRate: number }): Promise<void>;
  close(): Promise<void>;
  readonly readable: ReadableStream<Uint8Array> | null;
  readonly writable: WritableStream<Uint8Array> | null;
}
interface Serial {
  requestPort(): Promise<SerialPort>;
}

/** Bits per second of every board's console (boards/board.ts). */
const LINE_RATE = 115_200;
const STATUS_EVERY_MS = 2000;

const serial = (navigator as unknown as { serial?: Serial }).serial;
const by = <Element extends HTMLElement>(id: string) => document.getElementById(id) as Element;

function make(parent: Element, tag: string, name: string, text = ""): HTMLElement {
  const element = document.createElement(tag);
  element.className = name;
  element.textContent = text;
  return parent.appendChild(element);
}

// ----------------------------------------------------------------------------------------------- the device

interface Device {
  session: ConsoleSession;
  close(): Promise<void>;
}

/** The device at the other end; undefined while there is none. */
let device: Device | undefined;
/** The device that was left, until its port is closed: it cannot be opened before. */
let closing: Promise<unknown> | undefined;
/** Something that a person asked for goes on. */
let isBusy = false;
/** What is done with the device, one after the other. */
let turn: Promise<unknown> = Promise.resolve();

/** Open a port and read from it until it is gone. */
async function open(port: SerialPort): Promise<Device> {
  await port.open({ baudRate: LINE_RATE });
  if (!port.readable || !port.writable) throw new NoAnswer("the port cannot be read.");
  const writer = port.writable.getWriter();
  const session = new ConsoleSession((text) =>
    writer.write(Uint8Array.from(text, (character) => character.charCodeAt(0))),
  );
  let reader: ReadableStreamDefaultReader<Uint8Array> | undefined;
  let isClosing = false;
  const release = async () => {
    await writer.close().catch(() => {});
    writer.releaseLock();
    await port.close().catch(() => {});
  };
  // a break or noise on the line ends one stream, and the port has another; one that is gone has none
  const read = async () => {
    while (port.readable && !isClosing) {
      reader = port.readable.getReader();
      try {
        for (let next = await reader.read(); !next.done; next = await reader.read())
          session.receive(String.fromCharCode(...next.value));
      } catch {
        // the next stream, or none
      } finally {
        reader.releaseLock();
      }
    }
  };
  const reading = read().then(async () => {
    session.end(new NoAnswer("the device was unplugged."));
    if (isClosing) return;
    // closed, or it could not be opened again
    await release();
    void lost("The device was unplugged.", "Plug it in again and press Connect.");
  });
  return {
    session,
    async close() {
      isClosing = true;
      await session.close();
      await reader?.cancel().catch(() => {});
      await reading;
      await release();
    },
  };
}

async function connect(): Promise<void> {
  if (!serial) return;
  if (device) return disconnect();
  let port: SerialPort;
  try {
    port = await serial.requestPort();
  } catch {
    return; // none was chosen
  }
  show("busy", "Connecting", "Looking for the device's console.");
  let opened: Device | undefined;
  try {
    await closing;
    opened = await open(port);
    await opened.session.open();
  } catch (error) {
    await opened?.close();
    return show("error", "No console", sentence((error as Error).message));
  }
  device = opened;
  await run(async (session) => {
    await readAbout(session);
    await readLog(session);
  });
}

async function disconnect(): Promise<void> {
  const left = device;
  closing = lost("No device", "Plug the device in and press Connect.", "off").then(() => left?.close());
  await closing;
}

async function lost(word: string, text: string, is = "error"): Promise<void> {
  device = undefined;
  show(is, word, text);
  hideChallenge();
  enable();
}

/** Do something with the device when what was begun is over; what goes wrong is said. */
function run(work: (session: ConsoleSession) => Promise<void>, isAsked = true): Promise<void> {
  if (!device || (isAsked && isBusy)) return Promise.resolve();
  const { session } = device;
  if (isAsked) isBusy = true;
  enable();
  const mine = turn.then(async () => {
    try {
      await work(session);
    } catch (error) {
      if (device?.session === session) show("error", "No answer", sentence((error as Error).message));
    }
    if (isAsked) isBusy = false;
    enable();
  });
  turn = mine;
  return mine;
}

/** Ask for one object; `failure` is its code where it is a refusal. */
async function askOne(session: ConsoleSession, line: string): Promise<{ answer: Answer; failure: number }> {
  const answer = (await session.ask(line)).at(-1) as Answer;
  return { answer, failure: failureOf(answer) };
}

// -------------------------------------------------------------------------------------------------- status

let shown: Answer = {};

function show(is: string, word: string, text: string, when = ""): void {
  by("state").dataset.is = is;
  for (const [id, value] of [
    ["word", word],
    ["sentence", text],
    ["when", when],
  ])
    if (by(id).textContent !== value) by(id).textContent = value; // said aloud only when it changes
}

async function readStatus(session: ConsoleSession): Promise<void> {
  const { answer: status } = await askOne(session, "status");
  shown = { ...shown, ...status };
  const step = Number(status.step);
  const err = Number(status.err);
  const failure = err ? `E${err}, at ${stepText(Number(status.at)).word}. ${codeText(err)}` : "";
  const wait = Number(status.wait) > 0 ? `The next try comes in ${durationText(Number(status.wait))}.` : "";
  const { word, doing } = stepText(step);
  if (step === STEP_UP)
    show(
      "up",
      "Connected",
      "The broker has accepted the device.",
      err ? `The last error was E${err}: ${codeText(err)}` : "",
    );
  else if (err)
    show(
      "error",
      `Not connected: ${stepText(Number(status.at)).word}`,
      failure,
      wait || `Now it is ${doing}.`,
    );
  else show("busy", `${word[0].toUpperCase()}${word.slice(1)}`, `The device is ${doing}.`, wait);
  by("identity").textContent = String(status.id ?? "Device console");
  by("lock").hidden = Number(status.lock) !== 0;
  showGlance();
}

/** What changes seldom. */
async function readAbout(session: ConsoleSession): Promise<void> {
  const { answer: net } = await askOne(session, "net");
  const { answer: id } = await askOne(session, "id");
  shown = { ...shown, ...net, ...id, server: `${net.host}:${net.port}` };
  await readStatus(session);
  by("version").textContent = [id.board, id.ver && `firmware ${id.ver}`].filter(Boolean).join(" · ");
}

/** Names and labels of what stands at a glance. */
const GLANCE: readonly [name: string, label: string][] = [
  ["server", "Server"],
  ["lock", "Console"],
  ["up", "Running for"],
  ["fail", "Failed attempts"],
  ["ssid", "Access point"],
  ["ip", "Own address"],
  ["mem", "Memory"],
  ["seq", "Image"],
  ["slot", "Slot"],
  ["boots", "Starts"],
  ["rev", "Last revert"],
];

function showGlance(): void {
  const list = by("glance");
  list.textContent = "";
  for (const [name, label] of GLANCE) {
    const value = shown[name];
    if (value === undefined || value === "" || (name === "rev" && value === 0)) continue;
    const entry = make(list, "div", String(value).length > 16 ? "wide" : "");
    make(entry, "dt", "", label);
    make(entry, "dd", "", glanceText(name, value));
  }
}

function glanceText(name: string, value: string | number): string {
  if (name === "up") return durationText(Number(value));
  if (name === "lock") return Number(value) ? "locked" : "unlocked";
  if (name === "mem") return `${value} variables`;
  if (name === "seq") return `sequence ${value}`;
  if (name === "rev") return `E${value}: ${codeText(Number(value))}`;
  return String(value);
}

// ----------------------------------------------------------------------------------------------- handshake

function drawLadder(times: ReadonlyMap<number, number>, now: number | undefined, failed: boolean): void {
  const ladder = by("ladder");
  ladder.textContent = "";
  make(ladder, "div", "end", "device");
  make(ladder, "div", "end server", "server");
  for (const [i, step] of HANDSHAKE_STEPS.entries()) {
    const { word, arrow } = stepText(step);
    const isNow = step === now;
    const is =
      isNow && failed ? "failed" : !times.has(step) ? "" : isNow && step !== STEP_UP ? "now" : "done";
    const row = String(i + 2);
    const cells = [
      make(ladder, "div", "time", times.has(step) ? `${times.get(step)} ms` : ""),
      make(ladder, "div", "life"),
      make(ladder, "div", `rung ${arrow ? `sent ${arrow}` : ""}`),
      make(ladder, "div", "life"),
    ];
    for (const cell of cells) cell.style.gridRow = row;
    make(cells[2], "span", "", word);
    cells[2].dataset.is = is;
    cells[2].dataset.step = String(step);
  }
}

async function handshake(session: ConsoleSession): Promise<void> {
  const times = new Map<number, number>();
  let now: number | undefined;
  outcome("handshake", "", "The device ends its session and makes a new one.");
  drawLadder(times, now, false);
  const answers = await session.ask("hs", (answer) => {
    if (answer.step === undefined || answer.err !== undefined) return;
    now = Number(answer.step);
    times.set(now, Number(answer.ms));
    drawLadder(times, now, false);
  });
  const failure = Number((answers.at(-1) as Answer).err ?? 0);
  await readStatus(session);
  // what fails at once fails between two looks of the device at itself: where it was, the status says
  if (failure) now = Number(shown.at);
  drawLadder(times, now, failure !== 0);
  const time = times.get(STEP_UP);
  if (failure) outcome("handshake", "failed", `E${failure}: ${codeText(failure)}`);
  else outcome("handshake", "done", `The session is up${time === undefined ? "" : `, after ${time} ms`}.`);
}

// ---------------------------------------------------------------------------------- log, self-test, unlocking

async function readLog(session: ConsoleSession): Promise<void> {
  const answers = await session.ask("log");
  const list = by("log");
  list.textContent = "";
  const entries = answers.filter(isLogEntry);
  for (const { at, err, boots } of entries) {
    const item = make(list, "li", "");
    make(item, "b", "", `boot ${boots}`);
    make(item, "span", Number(at) && Number(err) ? "bad" : "", eventText(Number(at), Number(err)));
  }
  if (!entries.length)
    make(list, "li", "", failureOf(answers[0]) ? codeText(failureOf(answers[0])) : "Nothing yet.");
}

async function selftest(session: ConsoleSession): Promise<void> {
  outcome("selftest", "", "The device tests itself.");
  const { failure } = await askOne(session, "selftest");
  outcome(
    "selftest",
    failure ? "failed" : "done",
    failure ? `E${failure}: ${codeText(failure)}` : "All is well.",
  );
}

async function showChallenge(session: ConsoleSession): Promise<void> {
  const { answer, failure } = await askOne(session, "unlock");
  if (failure) return outcome("unlock", "failed", `E${failure}: ${codeText(failure)}`);
  const { id, nonce, boots } = answer;
  const svg = qrcode(
    { text: `UNLOCK ${id} ${nonce} ${boots}`, bcid: "qrcode", padding: 4, backgroundcolor: "FFFFFF" },
    drawingSVG(),
  );
  by<HTMLImageElement>("code").src = `data:image/svg+xml;base64,${btoa(svg)}`;
  by("whose").textContent = String(id);
  by("nonce").textContent = grouped(String(nonce));
  by("boots").textContent = String(boots);
  by("challenge").hidden = by("unlock").hidden = false;
  outcome("unlock", "", "");
  by<HTMLInputElement>("answer").value = "";
  by("answer").focus();
}

function hideChallenge(): void {
  by("challenge").hidden = by("unlock").hidden = true;
  by<HTMLInputElement>("answer").value = "";
}

/** Send what the desk says: the answer alone, or the whole line that it gives. */
async function unlock(session: ConsoleSession): Promise<void> {
  const field = (id: string) => by<HTMLInputElement>(id).value.trim();
  const whole = /^unlock\s+([sr])\s+(\d{1,3})\s+(\S.*)$/i.exec(field("answer"));
  const [role, minutes, digits] = whole ? whole.slice(1) : [field("role"), field("minutes"), field("answer")];
  const { failure } = await askOne(
    session,
    `unlock ${role.toLowerCase()} ${minutes} ${digits.replace(/\s+/g, "-")}`,
  );
  if (failure) {
    await showChallenge(session); // the old one is used up
    return outcome("unlock", "failed", `E${failure}: ${codeText(failure)}`);
  }
  hideChallenge();
  outcome("unlock", "done", `Unlocked for ${minutes} minutes.`);
  await readStatus(session);
}

function outcome(of: string, is: string, text: string): void {
  const element = by(`${of}-outcome`);
  element.dataset.is = is;
  element.textContent = text;
}

// --------------------------------------------------------------------------------------------- any command

async function command(session: ConsoleSession): Promise<void> {
  const field = by<HTMLInputElement>("line");
  const line = lineOf(field.value);
  if (!line) return;
  const said = by("said");
  said.textContent = `> ${line}\n`;
  const fault = lineFault(line);
  if (fault) said.textContent += `${sentence(fault)}\n`;
  else if (/^js/i.test(line)) said.textContent += "This page sets json itself.\n";
  else {
    field.value = "";
    const answers = await session.ask(line, (answer) => {
      said.textContent += textOf(answer);
    });
    const effect = settingEffect(line);
    if (effect && !failureOf(answers.at(-1) as Answer)) said.textContent += `${effect}\n`;
    await readAbout(session);
  }
}

function textOf(answer: Answer): string {
  if (isLogEntry(answer)) return `${logText(answer)}\n`;
  if (Object.keys(answer).join() === "err")
    return answer.err ? `E${answer.err}  ${codeText(Number(answer.err))}\n` : "done\n";
  return answerRows(answer)
    .map(({ name, value, words }) => `${name.padEnd(6)} ${value}${words && `  ${words}`}\n`)
    .join("");
}

// -------------------------------------------------------------------------------------------------- wiring

function sentence(text: string): string {
  return text[0].toUpperCase() + text.slice(1);
}

const WORK: Readonly<Record<string, (session: ConsoleSession) => Promise<void>>> = {
  handshake,
  selftest,
  ask: showChallenge,
  reload: readLog,
  async lock(session) {
    await askOne(session, "lock");
    outcome("unlock", "", "Locked.");
    await readStatus(session);
  },
};

/** Buttons do something only with a device that is not busy; fields keep the focus and what is typed ahead. */
function enable(): void {
  const isReady = device !== undefined && !isBusy;
  for (const element of document.querySelectorAll<HTMLButtonElement>("main button"))
    if (element.disabled === isReady) element.disabled = !isReady;
  by("connect").textContent = device ? "Disconnect" : "Connect";
}

for (const [id, work] of Object.entries(WORK)) by(id).addEventListener("click", () => run(work));
by("connect").addEventListener("click", () => connect());
by("unlock").addEventListener("submit", (event) => {
  event.preventDefault();
  void run(unlock);
});
by("command").addEventListener("submit", (event) => {
  event.preventDefault();
  void run(command).then(() => by("line").focus());
});

const KEYS: Readonly<Record<string, string>> = {
  c: "connect",
  h: "handshake",
  u: "ask",
  t: "selftest",
  l: "reload",
};
addEventListener("keydown", (event) => {
  const isTyping = (event.target as HTMLElement).matches("input, select");
  if (isTyping || event.ctrlKey || event.altKey || event.metaKey) return;
  const id = KEYS[event.key.toLowerCase()];
  if (event.key === "/") by("line").focus();
  else if (id) by(id).click();
  else return;
  event.preventDefault();
});

for (const word of Object.keys(COMMAND_TEXT))
  if (word !== "json") make(by("words"), "option", "").setAttribute("value", word);
drawLadder(new Map(), undefined, false);
enable();
setInterval(() => {
  if (!document.hidden && !isBusy) void run(readStatus, false);
}, STATUS_EVERY_MS);
if (!serial) {
  by<HTMLButtonElement>("connect").disabled = true;
  show(
    "error",
    "No Web Serial",
    "This browser cannot reach serial ports: use Chrome, Edge or Chromium on a computer.",
  );
}
