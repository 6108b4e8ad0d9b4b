// Keys of a range of serials for servers that derive none: `npm run keys -- export`. A table of pre-shared keys as each
// server reads it, and, where it has such a file, who may use which topics. New files of mode 0600.
// What that costs is said each time: whoever reads the table is every device in it, until each has a new key; a new serial
// means a new table; and the server holds nobody to his name who is not named by it.
// Leaves out: the older schemes' servers, which have tables already.

import type { ExportOptions } from "../../keys";
import { profileGiven } from "../bundle/profile_option";
import { UsageError } from "../cli/exit";
import { quoted } from "../cli/show";
import { openMaster } from "../custody/master";
import { Secrets } from "../custody/secrets";
import { checkNewFiles, writeNewFiles } from "../files/new_file";
import { clientIdOf, type Identity, parseIdentity, topicPrefix } from "../keys/identity";
import { brokerKey } from "../keys/peer_keys";
import { serialsOf } from "../keys/serials";
import { strongKey } from "../keys/weak_keys";

type Line = (identity: Identity, key: Buffer) => string;

/** `identity:key in hex`, which psk_file and PSKsecrets both are. */
const tableLine: Line = ({ text }, key) => `${text}:${key.toString("hex")}\n`;

/**
 * A string of an Erlang term, in which EMQX would put a client's own words for `${clientid}`. Throws UsageError for a name of
 * other characters than serials have.
 */
function erlang(text: string): string {
  if (/[^A-Za-z0-9_/#-]/.test(text))
    throw new UsageError(
      `acl.conf takes no product of other characters than letters, digits and _: ${quoted(text)}.`,
    );
  return `"${text}"`;
}

interface Format {
  /** A device's lines in each file, by the end of the file's name. */
  files: Record<string, Line>;
  /** The last lines of a file. */
  ends?: Record<string, string>;
  costs: string;
}

const FORMATS: Record<NonNullable<ExportOptions["format"]>, Format> = {
  mosquitto: {
    files: {
      psk: tableLine,
      acl: (identity) =>
        `user ${identity.text}\ntopic write ${topicPrefix(identity)}up/#\ntopic write ${topicPrefix(identity)}state\n` +
        `topic read ${topicPrefix(identity)}#\ntopic read fw/${identity.product}/#\n\n`,
    },
    costs:
      "Mosquitto (psk_file, acl_file, use_identity_as_username true) holds no device to its client id: the plugin does",
  },
  stunnel: {
    files: { psk: tableLine },
    costs:
      "stunnel (PSKsecrets) tells the broker behind it nothing of who comes: every device may use every topic",
  },
  emqx: {
    files: {
      psk: tableLine,
      "acl.conf": (identity) => {
        const rule = (action: string, ...topics: string[]) =>
          `{allow, {clientid, ${erlang(clientIdOf(identity))}}, ${action}, [${topics.map(erlang).join(", ")}]}.\n`;
        const own = topicPrefix(identity);
        return (
          rule("publish", `${own}up/#`, `${own}state`) +
          rule("subscribe", `${own}#`, `fw/${identity.product}/#`)
        );
      },
    },
    ends: { "acl.conf": "{deny, all}.\n" }, // EMQX lets in what no rule names
    costs:
      "EMQX's own table of keys (psk_authentication) takes the text behind the colon as the key itself, and 16 bytes of any value are\n" +
      "no text: this table is for a stunnel before it. acl.conf believes the client id that a device says: one can come as another",
  },
  rabbitmq: {
    files: { psk: tableLine },
    costs:
      "RabbitMQ's configuration takes no table of keys: this one is for a stunnel before it, and every device may use every topic",
  },
};

/** Run the command. */
export async function exportKeys(options: ExportOptions): Promise<void> {
  const { master: place, format, product, serials, out } = options;
  if (!place || !format || !product || !serials || !out)
    throw new UsageError("export needs --master, --format, --product, --serials and --out. See --help.");
  const { files, ends = {}, costs } = FORMATS[format];
  const { profile, pskLabel } = profileGiven(options);
  if (pskLabel === "psk/tree")
    throw new UsageError(
      `a table has one key for each device, and under the profile ${profile} each session has one of its own.`,
    );
  if (pskLabel === "akep2" || pskLabel === "esp")
    throw new UsageError(`the table is for a server of TLS, and the profile ${profile} does not speak it.`);
  const version = options["key-version"] ?? 1;
  checkNewFiles(...Object.keys(files).map((name) => `${out}.${name}`));
  const secrets = new Secrets(options, ["master"]);
  const master = await openMaster(place, { purpose: "psk", secrets, name: "master" }).finally(() =>
    secrets.close(),
  );
  const texts = new Map(Object.keys(files).map((name) => [name, [] as string[]]));
  let count = 0;
  try {
    for (const serial of serialsOf(serials)) {
      const identity = parseIdentity(`v${version}.${product}.${serial}`);
      let key = strongKey(master.deviceKey(identity, pskLabel), `the psk key of ${identity.text}`);
      // the broker has one that leads to no other
      if (pskLabel === "peer") key = brokerKey(key);
      for (const [name, line] of Object.entries(files)) texts.get(name)?.push(line(identity, key));
      key.fill(0);
      count++;
    }
  } finally {
    master.close();
  }
  for (const [name, end] of Object.entries(ends)) texts.get(name)?.push(end);
  writeNewFiles(
    [...texts].map(([name, lines]) => ({ path: `${out}.${name}`, bytes: Buffer.from(lines.join("")) })),
  );
  const paths = [...texts.keys()].map((name) => `${out}.${name}`);
  if (options.json) console.log(JSON.stringify({ format, count, files: paths, costs }));
  else
    console.log(
      `${count} devices: ${paths.join(", ")}\n` +
        "Whoever reads that is each of these devices until it has a new key; other serials are not let in; who is revoked\n" +
        `has to be taken out by hand. ${costs}.`,
    );
}
