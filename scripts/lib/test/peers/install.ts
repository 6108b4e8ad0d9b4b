/*
 * The servers, the token, the readers and the pseudo-terminals that the tests need, as Debian packages: `npm test` runs
 * this file first. What is missing is installed with apt-get, as root or by `sudo -n`; where that is not allowed the
 * packages are named and the tests skip their cases, except under CI=true, where a missing package is a failure.
 */
import { spawnSync } from "node:child_process";
import { accessSync, constants, existsSync } from "node:fs";
import { join } from "node:path";

/** What each program is for, and the package that brings it. */
const PROGRAMS: readonly { program: string; package: string }[] = [
  { program: "openssl", package: "openssl" },
  { program: "gnutls-serv", package: "gnutls-bin" },
  { program: "gnutls-cli", package: "gnutls-bin" },
  { program: "stunnel4", package: "stunnel4" },
  { program: "mosquitto", package: "mosquitto" },
  { program: "mosquitto_sub", package: "mosquitto-clients" },
  { program: "mosquitto_pub", package: "mosquitto-clients" },
  { program: "chromium", package: "chromium" },
  { program: "dmtxread", package: "dmtx-utils" },
  { program: "zbarimg", package: "zbar-tools" },
  { program: "pdftoppm", package: "poppler-utils" },
  { program: "rsvg-convert", package: "librsvg2-bin" },
  { program: "unshare", package: "util-linux" },
  { program: "ip", package: "iproute2" },
  { program: "softhsm2-util", package: "softhsm2" },
  { program: "age", package: "age" },
  { program: "socat", package: "socat" },
  { program: "nats-server", package: "nats-server" },
  { program: "haproxy", package: "haproxy" },
  { program: "hostapd", package: "hostapd" },
  { program: "tshark", package: "tshark" },
  { program: "scapy", package: "python3-scapy" },
  { program: "spin", package: "spin" },
  { program: "gcc", package: "gcc" },
  { program: "make", package: "make" },
];

/** Headers that C is compiled with here, and their packages. */
const HEADERS: readonly { path: string; package: string }[] = [
  { path: "/usr/include/stdio.h", package: "libc6-dev" },
  { path: "/usr/include/mosquitto_broker.h", package: "mosquitto-dev" },
  { path: "/usr/include/mosquitto.h", package: "libmosquitto-dev" },
  { path: "/usr/include/openssl/kdf.h", package: "libssl-dev" },
  { path: "/usr/include/p11-kit-1/p11-kit/pkcs11.h", package: "libp11-kit-dev" },
];

/** Debian's cryptography for its Python, which scapy's IPsec computes with. */
const PYTHON_CRYPTOGRAPHY = {
  path: "/usr/lib/python3/dist-packages/cryptography/__init__.py",
  package: "python3-cryptography",
};

/** Folders of PATH, and those of the system's daemons, which an ordinary user's PATH leaves out. */
const FOLDERS = [...(process.env.PATH ?? "").split(":"), "/usr/sbin", "/sbin"];

/** Find a program; undefined where it is not installed. */
export function findProgram(program: string): string | undefined {
  return FOLDERS.map((folder) => join(folder, program)).find((path) => {
    try {
      accessSync(path, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** Whether a program is installed. */
export function hasProgram(program: string): boolean {
  return findProgram(program) !== undefined;
}

/** Give the reason to skip a test that needs these programs, or false where all are there. */
export function skipWithout(...programs: string[]): string | false {
  const missing = programs.filter((program) => !hasProgram(program));
  return missing.length ? `not installed: ${missing.join(", ")}` : false;
}

/** Give the reason to skip a test that compiles C, or false. */
export function skipWithoutHeaders(): string | false {
  const missing = HEADERS.filter(({ path }) => !existsSync(path));
  return missing.length ? `not installed: ${missing.map((row) => row.package).join(", ")}` : false;
}

/** Give the reason to skip a test of scapy's IPsec, or false. */
export function skipWithoutScapy(): string | false {
  if (!existsSync(PYTHON_CRYPTOGRAPHY.path)) return `not installed: ${PYTHON_CRYPTOGRAPHY.package}`;
  return skipWithout("scapy");
}

function missingPackages(): string[] {
  const programs = PROGRAMS.filter(({ program }) => !hasProgram(program));
  const files = [...HEADERS, PYTHON_CRYPTOGRAPHY].filter(({ path }) => !existsSync(path));
  return [...new Set([...programs, ...files].map((row) => row.package))];
}

const APT_TIMEOUT_MS = 300_000;

/** Install packages; returns the reason where that did not go, else "". */
function install(packages: string[]): string {
  if (!hasProgram("apt-get")) return "there is no apt-get here";
  const root = process.getuid?.() === 0;
  if (!root && spawnSync("sudo", ["-n", "true"]).status !== 0)
    return "neither root nor sudo without a password";
  const apt = (...args: string[]) => {
    const command = [
      ...(root ? [] : ["sudo", "-n"]),
      // No service may start: Debian's mosquitto would listen on its own.
      ...["env", "DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1", "apt-get", "-q", "-y", ...args],
    ];
    return spawnSync(command[0], command.slice(1), { encoding: "utf8", timeout: APT_TIMEOUT_MS });
  };
  apt("update");
  const { status, stderr } = apt("install", "--no-install-recommends", ...packages);
  return status === 0 ? "" : (stderr.trim().split("\n").pop() ?? "apt-get failed");
}

/** Install what is missing; returns what the tests will have to do without. */
function prepare(): string[] {
  const missing = missingPackages();
  if (!missing.length) return [];
  console.log(`Installing what the tests need: ${missing.join(" ")}`);
  const reason = install(missing);
  return missingPackages().map((name) => `${name} (${reason})`);
}

async function main(): Promise<void> {
  const without = prepare();
  const { skipWithoutNamespace } = await import("./gnutls_serv");
  const namespace = skipWithoutNamespace();
  if (namespace) without.push(namespace);
  if (!without.length) return;
  console.log(`Without: ${without.join("; ")}. Those cases are skipped.`);
  if (process.env.CI !== "true") return;
  console.log("CI=true: nothing may be skipped for want of a package.");
  process.exit(1);
}

if (process.argv[1]?.endsWith(join("peers", "install.ts"))) void main();
