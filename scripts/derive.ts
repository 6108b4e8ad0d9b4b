// Make a throwaway master and one device's key for the simulated board: `npm run derive`.
// Writes two files of the device as its Storage holds them - `key`, 16 raw bytes, and `conf`, its settings -, the same
// key as `psk`, a line `identity:hex` that stunnel, GnuTLS and Mosquitto read, where it is a key for TLS, and the master beside them if none is
// given; all of mode 0600. Prints identity and check value, never a key.
// Leaves out: the bench with its ledger; the root and its custody.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { PROFILE_OPTION, profileGiven } from "./lib/bundle/profile_option";
import { runCommand } from "./lib/cli/exit";
import { endpoint, flag, oneOf, option, parseCommand } from "./lib/cli/options";
import { makeFolder, refuseExisting, writeNewFiles } from "./lib/files/new_file";
import { readSecret, writeSecret } from "./lib/files/private_file";
import { parseIdentity } from "./lib/keys/identity";
import { deriveDeviceKey, keyCheckValue, SCHEME_NAMES, SCHEMES } from "./lib/keys/kdf";
import { brokerKey } from "./lib/keys/peer_keys";
import { randomKey, strongKey } from "./lib/keys/weak_keys";

const COMMAND = {
  usage: "npm run derive --",
  about: [
    "Make a throwaway master and the key of one device, as files of mode 0600 for the simulated board",
    "and the gateway. Nothing that is there already is written over. Schemes:",
    ...SCHEME_NAMES.map((name) => `  ${name.padEnd(10)}  ${SCHEMES[name].about}`),
  ].join("\n"),
  options: {
    identity: option("ID", "v<key version>.<product>.<serial>; default v1.demo.SN0000001", parseIdentity),
    master: option("FILE", "the psk master, 16 bytes or 32 hex digits; default: a new one in FOLDER/master"),
    scheme: option(
      "NAME",
      `how the key is derived: ${SCHEME_NAMES.join(", ")}; default kdf`,
      oneOf(SCHEME_NAMES),
    ),
    profile: PROFILE_OPTION,
    out: option("FOLDER", "where key, conf and psk go; default dist/device"),
    server: option("HOST:PORT", "the server written into conf; default 127.0.0.1:8883", endpoint),
    json: flag("for machines: one JSON object"),
  },
};

await runCommand("derive", (argv) => {
  const parsed = parseCommand(COMMAND, argv);
  if (!parsed) return;
  const { options } = parsed;
  const { pskLabel } = profileGiven(options);
  const identity = options.identity ?? parseIdentity("v1.demo.SN0000001");
  const folder = options.out ?? "dist/device";
  const inFolder = (name: string) => join(folder, name);
  const isForTls = pskLabel === "psk" || pskLabel === "psk13" || pskLabel === "peer";
  const files = {
    key: inFolder("key"),
    conf: inFolder("conf"),
    ...(isForTls ? { psk: inFolder("psk") } : {}),
    master: options.master ?? inFolder("master"),
  };
  refuseExisting(files.key, files.conf, ...(files.psk ? [files.psk] : []));
  makeFolder(folder);
  if (!options.master && !existsSync(files.master))
    writeSecret(files.master, strongKey(randomKey(), "the master"));
  const key = deriveDeviceKey(readSecret(files.master), identity, options.scheme, pskLabel);
  const { host, port } = options.server ?? { host: "127.0.0.1", port: 8883 };
  const serverKey = pskLabel === "peer" ? brokerKey(key) : key;
  writeNewFiles([
    { path: files.key, bytes: key },
    ...(files.psk
      ? [{ path: files.psk, bytes: Buffer.from(`${identity.text}:${serverKey.toString("hex")}\n`) }]
      : []),
    { path: files.conf, bytes: Buffer.from(JSON.stringify({ id: identity.text, host, port })) },
  ]);

  const result = {
    identity: identity.text,
    checkValue: keyCheckValue(key),
    scheme: options.scheme ?? "kdf",
    ...files,
  };
  if (options.json) console.log(JSON.stringify(result));
  else for (const [name, value] of Object.entries(result)) console.log(`${name.padEnd(10)}  ${value}`);
});
