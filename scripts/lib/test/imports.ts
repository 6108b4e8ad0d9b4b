// Which way imports may go: main -> console, app, ota, mqtt, tls, store -> crypto -> bytes, drivers only through `hal:` names
// that the board's data resolve. Tests may import what they like.
import { posix } from "node:path";

/** Layers of the firmware from the top down; a file imports from its own layer and from those below. */
const LAYERS: readonly { name: string; files: RegExp }[] = [
  {
    name: "vocabulary",
    files: /^firmware\/(bytes|profile|app\/steps|ota\/manifest|tls\/alert)$|^hal\/hal$|^boards\/board$/,
  },
  {
    name: "main",
    files: /^firmware\/([^/]+|boot\/(loader|provision))$/,
  },
  { name: "console", files: /^firmware\/(console\/|app\/events$)/ },
  { name: "application", files: /^firmware\/(app\/|boot\/self_test$)/ },
  { name: "ota", files: /^firmware\/ota\// },
  { name: "mqtt", files: /^firmware\/mqtt\// },
  { name: "tls", files: /^firmware\/tls\// },
  { name: "store", files: /^firmware\/(store\/|boot\/(load_section|port)$)/ },
  { name: "crypto", files: /^firmware\/crypto\// },
];
const VOCABULARY = "vocabulary";

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
    const reason = refuse(file, target.replace(/\.ts$/, ""));
    if (reason) found.push({ file, line: text.slice(0, match.index).split("\n").length, specifier, reason });
  }
  return found;
}

/** Say why `file` may not import `target`; undefined where it may. */
function refuse(file: string, target: string): string | undefined {
  const isDriver = file.startsWith("hal/espruino/");
  const isDevice = isDriver || file.startsWith("firmware/");
  if (target.startsWith("hal/espruino/") && !isDriver)
    return "drivers are chosen by the board's data: import hal:...";
  if (target.startsWith("hal/simulator/") && isDevice) return "the simulator is not on the device";
  if (file.startsWith("boards/") && target !== "boards/board") return "a board is data only";
  if (!isDevice) return undefined;
  if (/^(node:|scripts\/)/.test(target)) return "not on the device";
  const to = layerOf(target);
  if (isDriver) {
    const isBelow = !to || [VOCABULARY, "crypto"].includes(to);
    return isBelow ? undefined : `a driver may import bytes, errors and crypto, not ${to}`;
  }
  const from = layerOf(file.replace(/\.ts$/, ""));
  if (!from || !to || to === VOCABULARY || rank(from) <= rank(to)) return undefined;
  return `${from} may not import ${to}: imports only go down`;
}

function layerOf(path: string): string | undefined {
  return LAYERS.find(({ files }) => files.test(path))?.name;
}

/** Position from the top; the vocabulary lies under everything. */
function rank(layer: string): number {
  return layer === VOCABULARY ? LAYERS.length : LAYERS.findIndex(({ name }) => name === layer);
}
