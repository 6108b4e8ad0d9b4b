// Every limit of the gateway in one table: its default, its bounds and what it is for. The command makes an option of each
// row, and the page its list. Times end in `Ms`, lengths are bytes unless the row says otherwise.
// Leaves out: limits of what stands behind the gateway with --upstream; a broker has its own.
import { integer, type OptionTable, option } from "../cli/options";

interface Row {
  default: number;
  least: number;
  most: number;
  help: string;
}

const SECOND = 1_000; // ms
const HOUR = 3_600 * SECOND;

export const LIMIT_ROWS = {
  helloTimeoutMs: row(3 * SECOND, 1, HOUR, "from TCP's accept to a whole ClientHello, milliseconds"),
  handshakeTimeoutMs: row(15 * SECOND, 1, HOUR, "from TCP's accept to Finished, milliseconds"),
  connectTimeoutMs: row(15 * SECOND, 1, HOUR, "from Finished to MQTT's CONNECT, milliseconds"),
  halfOpen: row(
    8_192,
    1,
    1_000_000,
    "handshakes under way, in all; those without a ClientHello give way first",
  ),
  halfOpenPerAddress: row(2_048, 1, 1_000_000, "the share of one address of them: a network behind one NAT"),
  connections: row(100_000, 1, 1_000_000, "connections at a time"),
  socketsPerDevice: row(4, 1, 1_000, "connections of one identity; the oldest gives way"),
  packetLength: row(8_192, 128, 262_144, "the longest MQTT packet of a device, bytes"),
  queuedBytes: row(
    262_144,
    4_096,
    67_108_864,
    "bytes that wait for a device that does not read; above it is cut off",
  ),
  queuedBytesTotal: row(536_870_912, 65_536, 2 ** 40, "the same for all together"),
  operatorQueuedBytes: row(67_108_864, 65_536, 2 ** 40, "the same for one of this machine's own programs"),
  retained: row(16, 0, 100_000, "topics that one device may retain a message on"),
  subscriptions: row(16, 0, 100_000, "filters of its own topics that one device may subscribe to"),
  imageSubscriptions: row(
    128,
    0,
    100_000,
    "pieces of images that a device may subscribe to in one session: it takes them one by one and leaves none",
  ),
  messagesPerSecond: row(50, 1, 100_000, "packets of one device a second; 512 bytes count as one more"),
  burst: row(200, 1, 1_000_000, "packets that a device may send at once before that holds"),
  keepAliveS: row(1_200, 1, 65_535, "the longest keep-alive, seconds; none is refused"),
  drainMs: row(5 * SECOND, 0, HOUR, "over this time devices are sent away after SIGTERM, milliseconds"),
} as const satisfies Record<string, Row>;

export type Limits = Record<keyof typeof LIMIT_ROWS, number>;
const NAMES = Object.keys(LIMIT_ROWS) as (keyof Limits)[];

export const DEFAULT_LIMITS = Object.fromEntries(
  NAMES.map((name) => [name, LIMIT_ROWS[name].default]),
) as Limits;

function row(standard: number, least: number, most: number, help: string): Row {
  return { default: standard, least, most, help };
}

/** The option of a limit: `halfOpenPerAddress` is --half-open-per-address. */
export function limitOption(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/** The rows that the command's table has. */
export const LIMIT_OPTIONS: OptionTable = Object.fromEntries(
  NAMES.map((name) => {
    const { default: standard, least, most, help } = LIMIT_ROWS[name];
    return [limitOption(name), option("N", `${help}; default ${standard}`, integer(least, most))];
  }),
);

/** Take the limits out of a command's options. */
export function limitsOf(options: Record<string, unknown>): Partial<Limits> {
  const given = NAMES.filter((name) => options[limitOption(name)] !== undefined);
  return Object.fromEntries(given.map((name) => [name, options[limitOption(name)] as number]));
}
