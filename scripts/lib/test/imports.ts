// Which way imports may go. On the device: main -> console, app, ota, mqtt, tls, store -> crypto -> bytes, drivers only through
// `hal:` names that the board's data resolve. On the host: commands -> lib/test -> lib/simulate -> areas -> files -> keys -> cli; what
// is shipped loads neither the simulator nor what is for tests. Tests may import what they like.
import { posix } from "node:path";

/** Layers of the firmware from the top down; a file imports from its own layer and from those below. */
const LAYERS: readonly { name: string; files: RegExp }[] = [
  {
    name: "vocabulary",
    files:
      /^firmware\/(bytes|profile|app\/(steps|event|started)|ota\/(manifest|slot)|tls\/alert)$|^hal\/hal$|^boards\/board$/,
  },
  {
    name: "main",
    files: /^firmware\/([^/]+|boot\/(loader|provision))$/,
  },
  { name: "console", files: /^firmware\/(console\/|app\/events$)/ },
  { name: "application", files: /^firmware\/(app\/|peer\/|boot\/self_test$)/ },
  { name: "ota", files: /^firmware\/ota\// },
  { name: "mqtt", files: /^firmware\/mqtt\// },
  { name: "tls", files: /^firmware\/tls\// },
  { name: "store", files: /^firmware\/(store\/|boot\/(load_section|port)$)/ },
  { name: "crypto", files: /^firmware\/crypto\// },
];
const VOCABULARY = "vocabulary";

/** Rooms of scripts/ from the top down. What only gives a type may go up: a command's options. */
const ROOMS: readonly { name: string; files: RegExp }[] = [
  { name: "the commands", files: /^scripts\/[^/]+$/ },
  { name: "lib/test", files: /^scripts\/lib\/test\// },
  { name: "lib/simulate", files: /^scripts\/lib\/simulate\// },
  {
    name: "an area",
    files:
      /^scripts\/lib\/(bench|bundle|console|custody|discovery|gateway|home|ledger|ota|product|tickets|tunnel)\//,
  },
  { name: "lib/files", files: /^scripts\/lib\/files\// },
  { name: "lib/keys", files: /^scripts\/lib\/keys\// },
  { name: "lib/cli", files: /^scripts\/lib\/(cli\/|project$)/ },
];

/** Whom else than its own room a part of the host may be asked by, and why. */
const ALLOWED: readonly { what: RegExp; by: RegExp }[] = [
  // a developer's reports, of the interpreter and of very many devices
  { what: /^scripts\/lib\/test\//, by: /^scripts\/(measure|rollout_report)$/ },
  // what a developer sees without a board, and a technician before he holds a device: `console --simulate`
  {
    what: /^scripts\/lib\/simulate\//,
    by: /^scripts\/(start|simulate|farm|bench_report|lib\/test\/\w+|lib\/console\/console_command|lib\/product\/\w+)$/,
  },
  {
    what: /^hal\/simulator\//,
    by: /^scripts\/(start|simulate|lib\/(simulate|product)\/\w+|lib\/test\/[\w/]+)$/,
  },
];

export interface WrongImport {
  file: string;
  /** Line of the file, from 1. */
  line: number;
  specifier: string;
  reason: string;
}

/** Find the imports of one file that go up, or past the board; `file` is its path from the project's folder. */
export function wrongImports(file: string, text: string): WrongImport[] {
  const found: WrongImport[] = [];
  const pattern = /\b(?:from|import)\s*\(?\s*"([^"]+)"/g;
  for (const match of text.matchAll(pattern)) {
    const [, specifier] = match;
    const target = specifier.startsWith(".") ? posix.join(posix.dirname(file), specifier) : specifier;
    const statement = text.slice(text.lastIndexOf(";", match.index) + 1, match.index);
    const isType = /\bimport type\b/.test(statement);
    const reason = refuse(file, target.replace(/\.ts$/, ""), isType);
    if (reason) found.push({ file, line: text.slice(0, match.index).split("\n").length, specifier, reason });
  }
  return found;
}

/** Say why `file` may not import `target`; undefined where it may. */
function refuse(file: string, target: string, isType: boolean): string | undefined {
  const isDriver = file.startsWith("hal/espruino/");
  const isDevice = isDriver || file.startsWith("firmware/");
  if (target.startsWith("hal/espruino/") && !isDriver)
    return "drivers are chosen by the board's data: import hal:...";
  if (target.startsWith("hal/simulator/") && isDevice) return "the simulator is not on the device";
  if (file.startsWith("boards/") && !target.startsWith("boards/")) return "a board is data only";
  if (file.startsWith("scripts/") && !isType) return refuseOnHost(file.replace(/\.ts$/, ""), target);
  if (!isDevice) return undefined;
  if (/^(node:|scripts\/)/.test(target)) return "not on the device";
  const to = layerOf(target);
  if (isDriver) {
    const isBelow = !to || [VOCABULARY, "crypto"].includes(to);
    return isBelow ? undefined : `a driver may import bytes, errors and crypto, not ${to}`;
  }
  const from = layerOf(file.replace(/\.ts$/, ""));
  // an update's restart is the device's: the product ends first
  if (file === "firmware/ota/updater.ts" && target === "firmware/app/application") return undefined;
  if (!from || !to || to === VOCABULARY || rank(from) <= rank(to)) return undefined;
  return `${from} may not import ${to}: imports only go down`;
}

function refuseOnHost(file: string, target: string): string | undefined {
  const gate = ALLOWED.find(({ what }) => what.test(target));
  if (gate?.by.test(file)) return undefined;
  const room = (path: string) => ROOMS.findIndex(({ files }) => files.test(path));
  const [from, to] = [room(file), room(target)];
  if (gate && from !== to) return "what is shipped loads neither the simulator nor what is for tests";
  if (to < 0 || from <= to) return undefined;
  return `${ROOMS[from].name} may not import ${ROOMS[to].name}: imports only go down`;
}

/** Where a file's static imports end at a package, as the way there: what `--help` must not load. */
export function packagesBehind(file: string, read: (path: string) => string | undefined): string[] {
  const ways = new Map([[file, file]]);
  const found: string[] = [];
  for (const [path, way] of ways) {
    for (const [, specifier] of (read(path) ?? "").matchAll(STATIC_IMPORT)) {
      if (specifier.startsWith("node:")) continue;
      const target = `${posix.join(posix.dirname(path), specifier)}.ts`;
      if (!specifier.startsWith(".")) found.push(`${way} -> ${specifier}`);
      else if (!ways.has(target)) ways.set(target, `${way} -> ${target}`);
    }
  }
  return found;
}

/** `import type` is nothing when it runs. */
const STATIC_IMPORT = /^(?:import|export)\s+(?!type\b)(?:[^;"']*?\bfrom\s+)?"([^"]+)"/gm;

function layerOf(path: string): string | undefined {
  return LAYERS.find(({ files }) => files.test(path))?.name;
}

/** Position from the top; the vocabulary lies under everything. */
function rank(layer: string): number {
  return layer === VOCABULARY ? LAYERS.length : LAYERS.findIndex(({ name }) => name === layer);
}
