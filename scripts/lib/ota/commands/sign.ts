// `npm run ota -- sign` and `rekey`: an update becomes a manifest for each device, with new keys behind it or without.
import { UsageError } from "../../cli/exit";
import type { Parsed } from "../../cli/options";
import { Progress } from "../../cli/progress";
import { needed } from "../../cli/subcommands";
import { openMaster } from "../../custody/master";
import { type SECRET_OPTIONS, Secrets } from "../../custody/secrets";
import { checkNewFiles, NewFile, PUBLIC } from "../../files/new_file";
import { IDENTITY_MAX_LENGTH, type Identity, parseIdentity } from "../../keys/identity";
import type { SchemeName } from "../../keys/kdf";
import { type Range, serialsOf } from "../../keys/serials";
import { holdToVersion, REKEY_ROW_BYTES, rekeyRows } from "../rekey";
import { openRekeyKeys } from "../rekey_keys";
import { checkRekeyNote, RekeyNote } from "../rekey_note";
import type { REKEY_KEYS_OPTIONS } from "../rekey_options";
import { ROW_BYTES, signRows } from "../sign";
import { readUpdate } from "../update_file";
import { linesOf } from "./given";

export interface DevicesGiven {
  serials?: Range[];
  list?: string;
  "key-version"?: number;
}

interface SignGiven extends DevicesGiven, Parsed<typeof SECRET_OPTIONS> {
  update?: string;
  master?: string;
  scheme?: SchemeName;
  out?: string;
  json?: boolean;
}

/** Sign an update for devices, each with its own key. Throws UsageError, with nothing written. */
export async function sign(options: SignGiven): Promise<void> {
  const made = readUpdate(needed(options.update, "--update FILE"));
  const place = needed(options.master, "--master FILE|pkcs11:...");
  const out = needed(options.out, "--out FILE");
  const devices = devicesOf(made.product, options);
  checkNewFiles(out);
  const secrets = new Secrets(options, ["master"]);
  const { scheme } = options;
  const master = await openMaster(place, { purpose: "ota", scheme, secrets, name: "master" }).finally(() =>
    secrets.close(),
  );
  const progress = new Progress(!options.json);
  const start = process.hrtime.bigint();
  let rows = 0;
  const file = new NewFile(out, PUBLIC);
  try {
    for (const some of signRows(made, devices, master)) {
      file.write(some);
      rows += some.length / ROW_BYTES;
      progress.show("sign", rows, devices.length);
    }
    file.finish();
  } finally {
    progress.stop();
    file.close();
    master.close();
  }
  const seconds = Number(process.hrtime.bigint() - start) / 1e9;
  const perSecond = Math.round(rows / seconds);
  if (options.json) console.log(JSON.stringify({ out, rows, seconds, perSecond }));
  else console.log(`${out}: ${rows} manifests in ${seconds.toFixed(2)} s, ${perSecond} a second`);
}

type RekeyGiven = DevicesGiven &
  Parsed<typeof REKEY_KEYS_OPTIONS> & { update?: string; to?: number; out?: string; json?: boolean };

/** The same with new keys for each device, wrapped under one that it has. */
export async function rekey(options: RekeyGiven): Promise<void> {
  const made = readUpdate(needed(options.update, "--update FILE"));
  const to = needed(options.to, "--to N");
  const out = needed(options.out, "--out FILE");
  const devices = devicesOf(made.product, options);
  checkNewFiles(out);
  for (const device of devices) holdToVersion(device, to);
  const { product, sequence } = made;
  checkRekeyNote(options.update as string, made);
  const keys = await openRekeyKeys(options);
  const progress = new Progress(!options.json);
  let rows = 0;
  try {
    const note = new RekeyNote(options.update as string, { product, sequence });
    const file = new NewFile(out, PUBLIC);
    try {
      for await (const some of rekeyRows(made, to, devices, keys)) {
        for (let at = 0; at < some.length; at += REKEY_ROW_BYTES)
          note.add(devices[rows++].serial, some.subarray(at + IDENTITY_MAX_LENGTH, at + REKEY_ROW_BYTES));
        file.write(some);
        progress.show("rekey", rows, devices.length);
      }
      file.flush();
      note.write();
      file.finish();
    } finally {
      file.close();
      note.close();
    }
  } finally {
    progress.stop();
    await keys.close();
  }
  if (options.json) console.log(JSON.stringify({ out, rows }));
  else console.log(`${out}: keys v${to} for ${rows} devices, with sequence ${made.sequence}`);
}

/** The identities of ranges and of a list, each serial once. Throws UsageError. */
export function devicesOf(product: string, given: DevicesGiven): Identity[] {
  const { serials: ranges = [], list, "key-version": keyVersion = 1 } = given;
  const devices = new Map<string, Identity>();
  const add = (text: string) => {
    const identity = parseIdentity(text);
    if (devices.has(identity.serial)) throw new UsageError(`the serial ${identity.serial} is named twice.`);
    devices.set(identity.serial, identity);
  };
  for (const range of ranges)
    for (const serial of serialsOf(range)) add(`v${keyVersion}.${product}.${serial}`);
  for (const line of list === undefined ? [] : linesOf(list))
    add(line.includes(".") ? line : `v${keyVersion}.${product}.${line}`);
  if (devices.size === 0)
    throw new UsageError("no devices: --serials FIRST..LAST or --list FILE names them.");
  return [...devices.values()];
}
