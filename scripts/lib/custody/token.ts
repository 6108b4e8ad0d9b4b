// Masters in a PKCS#11 token (v2.40): AES-128 keys that are sensitive, not extractable, never changed and never copied;
// CMAC (CKM_AES_CMAC), and CBC for the two older schemes, are computed inside. A key is named by a URI of RFC 7512,
//   pkcs11:token=LABEL;object=LABEL?module-path=FILE&pin-source=FILE
// whose pin-value is refused: it would be a PIN on a command line. CKA_ID says `<purpose>/<scheme>` of our keys.
// The module `pkcs11js` is compiled at `npm ci` and optional: without it a sentence says so.
// Leaves out: making tokens and setting PINs, for which each maker has a tool (softhsm2-util --init-token).
import { DeviceError, UsageError } from "../cli/exit";
import { type AesKey, KEY_LENGTH, PURPOSES, type Purpose, SCHEME_NAMES, type SchemeName } from "../keys/kdf";
import { hiddenKeyFault } from "../keys/weak_keys";
import { checkPinSource, WrongSecret } from "./secrets";

// The part of pkcs11js that is used, so that the types stand where it could not be compiled.
type Handle = Buffer;
type Template = { type: number; value?: number | boolean | string | Buffer }[];
interface Pkcs11 {
  load(path: string): void;
  C_Initialize(): void;
  C_GetSlotList(withToken: boolean): Handle[];
  C_GetTokenInfo(slot: Handle): { label: string; serialNumber: string };
  C_GetMechanismList(slot: Handle): number[];
  C_OpenSession(slot: Handle, flags: number): Handle;
  C_CloseSession(session: Handle): void;
  C_Login(session: Handle, user: number, pin: string): void;
  C_FindObjectsInit(session: Handle, template: Template): void;
  C_FindObjects(session: Handle, most: number): Handle[];
  C_FindObjectsFinal(session: Handle): void;
  C_GetAttributeValue(session: Handle, object: Handle, template: Template): { value: Buffer }[];
  C_CreateObject(session: Handle, template: Template): Handle;
  C_GenerateKey(session: Handle, mechanism: { mechanism: number }, template: Template): Handle;
  C_DestroyObject(session: Handle, object: Handle): void;
  C_SignInit(session: Handle, mechanism: { mechanism: number }, key: Handle): void;
  C_Sign(session: Handle, input: Buffer, output: Buffer): Buffer;
  C_EncryptInit(session: Handle, mechanism: { mechanism: number; parameter: Buffer }, key: Handle): void;
  C_Encrypt(session: Handle, input: Buffer, output: Buffer): Buffer;
}

// PKCS#11 v2.40, base specification and current mechanisms: values of pkcs11t.h.
const CKU_USER = 1;
const CKF_RW_SESSION = 2;
const CKF_SERIAL_SESSION = 4;
const CKO_SECRET_KEY = 4;
const CKK_AES = 0x1f;
const CKM_AES_KEY_GEN = 0x1080;
const CKM_AES_CBC = 0x1082;
const CKM_AES_CMAC = 0x108a;
const CKA = {
  CLASS: 0x000,
  TOKEN: 0x001,
  PRIVATE: 0x002,
  LABEL: 0x003,
  VALUE: 0x011,
  KEY_TYPE: 0x100,
  ID: 0x102,
  SENSITIVE: 0x103,
  ENCRYPT: 0x104,
  DECRYPT: 0x105,
  WRAP: 0x106,
  UNWRAP: 0x107,
  SIGN: 0x108,
  VERIFY: 0x10a,
  DERIVE: 0x10c,
  VALUE_LEN: 0x161,
  EXTRACTABLE: 0x162,
  LOCAL: 0x163,
  MODIFIABLE: 0x170,
  COPYABLE: 0x171,
} as const;

// ---------------------------------------------------------------------------------------------------- URI

/** A key in a token, as its URI names it. */
export interface TokenUri {
  token: string;
  serial?: string;
  object: string;
  modulePath: string;
  pinSource?: string;
}

/** Whether a master's place is a token. */
export function isTokenUri(text: string): boolean {
  return /^pkcs11:/i.test(text);
}

/** Parse the part of RFC 7512 that is used here. Throws UsageError, which never shows the URI: a PIN may stand in it. */
export function parseTokenUri(text: string): TokenUri {
  const [path, query = ""] = text.slice("pkcs11:".length).split(/\?(.*)/s);
  const attributes = new Map<string, string>();
  for (const pair of [...path.split(";"), ...query.split("&")].filter((part) => part !== "")) {
    const [name, value = ""] = pair.split(/=(.*)/s);
    if (name === "pin-value") {
      throw new UsageError(
        "a PIN may not stand in the URI (pin-value), where every user of the machine can read it: use pin-source, " +
          "--passphrase-file or --passphrase-fd; and change this PIN.",
      );
    }
    if (
      !["token", "serial", "object", "type", "module-path", "pin-source"].includes(name) ||
      attributes.has(name)
    ) {
      throw new UsageError(
        "a pkcs11 URI here has token, serial, object, module-path and pin-source, each at most once.",
      );
    }
    try {
      attributes.set(name, decodeURIComponent(value));
    } catch {
      throw new UsageError(`the ${name} of the pkcs11 URI has a percent sign that stands for no character.`);
    }
  }
  const need = (name: string): string => {
    const value = attributes.get(name);
    if (value) return value;
    throw new UsageError(
      `the pkcs11 URI has no ${name}; it is pkcs11:token=LABEL;object=LABEL?module-path=FILE, in quotes.`,
    );
  };
  if ((attributes.get("type") ?? "secret-key") !== "secret-key")
    throw new UsageError("the type in a pkcs11 URI of a master is secret-key.");
  return {
    token: need("token"),
    serial: attributes.get("serial"),
    object: need("object"),
    modulePath: need("module-path"),
    pinSource: attributes.get("pin-source")?.replace(/^file:(\/\/)?/, ""),
  };
}

// ---------------------------------------------------------------------------------------------- sessions

const modules = new Map<string, Pkcs11>();

/** Load a token's module, once in a process. */
async function loadModule(path: string): Promise<Pkcs11> {
  const loaded = modules.get(path);
  if (loaded) return loaded;
  const name: string = "pkcs11js"; // not a literal: the checker must pass where it could not be compiled
  const { PKCS11 } = await import(name)
    .then((imported) => imported.default ?? imported)
    .catch(() => {
      throw new UsageError(
        "the package pkcs11js is not there: npm ci compiles it where it finds make, g++ and python3 (Debian: apt-get " +
          "install build-essential python3).",
      );
    });
  const pkcs11: Pkcs11 = new PKCS11();
  try {
    pkcs11.load(path);
    pkcs11.C_Initialize();
  } catch (error) {
    throw new UsageError(`the PKCS#11 module ${path} cannot be used: ${tokenFault(error)}.`);
  }
  modules.set(path, pkcs11);
  return pkcs11;
}

const FAULTS: Record<string, string> = {
  CKR_PIN_INCORRECT: "the PIN is wrong",
  CKR_PIN_LEN_RANGE: "the PIN is too short or too long",
  CKR_PIN_INVALID: "the PIN has characters that the token does not take",
  CKR_PIN_LOCKED: "the PIN is locked after too many tries",
  CKR_USER_PIN_NOT_INITIALIZED: "its user PIN is not set yet",
  CKR_TOKEN_NOT_PRESENT: "it is not there any more",
  CKR_DEVICE_REMOVED: "it is not there any more",
  CKR_SESSION_HANDLE_INVALID: "its session has ended",
  CKR_TOKEN_WRITE_PROTECTED: "it is write protected",
  CKR_DEVICE_MEMORY: "it is full",
  CKR_KEY_FUNCTION_NOT_PERMITTED: "the key may not be used for this",
};

function tokenFault(error: unknown): string {
  const { message } = error as Error;
  return FAULTS[message] ?? message.split("\n")[0].replace(/\.$/, "");
}

/** PINs that are none for this token: a slip, where they are typed. */
const WRONG_PINS = ["CKR_PIN_INCORRECT", "CKR_PIN_LEN_RANGE", "CKR_PIN_INVALID"];

/** Find the token that a URI names. Throws UsageError: no module, no token or several. */
async function findToken(uri: TokenUri): Promise<{ pkcs11: Pkcs11; slot: Handle; name: string }> {
  const pkcs11 = await loadModule(uri.modulePath);
  const matching = pkcs11.C_GetSlotList(true).filter((slot) => {
    const { label, serialNumber } = pkcs11.C_GetTokenInfo(slot);
    return label.trim() === uri.token && (uri.serial === undefined || serialNumber.trim() === uri.serial);
  });
  const name = `the token ${JSON.stringify(uri.token)}`;
  if (matching.length === 0) throw new UsageError(`${name} is not there.`);
  if (matching.length > 1)
    throw new UsageError(`${name} is there ${matching.length} times; say which with serial=.`);
  return { pkcs11, slot: matching[0], name };
}

/** Look for a token, and for the file that holds its PIN, before anything is asked for. Throws UsageError. */
export async function checkToken(uri: TokenUri): Promise<void> {
  await findToken(uri);
  if (uri.pinSource !== undefined) checkPinSource(uri.pinSource);
}

/** An open, logged-in session with one token. */
class Session {
  private constructor(
    readonly pkcs11: Pkcs11,
    readonly slot: Handle,
    readonly handle: Handle,
    readonly name: string,
  ) {}

  static async open(uri: TokenUri, pin: Uint8Array): Promise<Session> {
    const { pkcs11, slot, name } = await findToken(uri);
    const handle = pkcs11.C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION);
    try {
      pkcs11.C_Login(handle, CKU_USER, Buffer.from(pin).toString("utf8"));
    } catch (error) {
      if ((error as Error).message !== "CKR_USER_ALREADY_LOGGED_IN") {
        pkcs11.C_CloseSession(handle);
        const Fault = WRONG_PINS.includes((error as Error).message) ? WrongSecret : UsageError;
        throw new Fault(`${name} does not open: ${tokenFault(error)}.`);
      }
    }
    return new Session(pkcs11, slot, handle, name);
  }

  find(label: string): Handle[] {
    this.pkcs11.C_FindObjectsInit(this.handle, [
      { type: CKA.CLASS, value: CKO_SECRET_KEY },
      { type: CKA.LABEL, value: label },
    ]);
    try {
      return this.pkcs11.C_FindObjects(this.handle, 2);
    } finally {
      this.pkcs11.C_FindObjectsFinal(this.handle);
    }
  }

  attribute(object: Handle, type: number): Buffer {
    return this.pkcs11.C_GetAttributeValue(this.handle, object, [{ type }])[0].value;
  }

  close(): void {
    this.pkcs11.C_CloseSession(this.handle);
  }
}

// ---------------------------------------------------------------------------------------------------- key

/** A master inside a token: computes there, until closed. */
export interface TokenKey extends AesKey {
  purpose?: Purpose;
  scheme?: SchemeName;
  /** For sentences. */
  about: string;
  close(): void;
}

/** Open a master in a token. Throws UsageError where it is not there, not well kept, or weak (R1). */
export async function openTokenKey(uri: TokenUri, pin: Uint8Array): Promise<TokenKey> {
  const session = await Session.open(uri, pin);
  try {
    const what = `the key ${JSON.stringify(uri.object)} in ${session.name}`;
    const found = session.find(uri.object);
    if (found.length === 0) throw new UsageError(`${what} is not there.`);
    if (found.length > 1) throw new UsageError(`${what} is there more than once.`);
    const key = usable(session, found[0], what);
    const fault = hiddenKeyFault(key);
    if (fault) throw new UsageError(`${what} ${fault}.`);
    return key;
  } catch (error) {
    session.close();
    throw error;
  }
}

function usable(session: Session, object: Handle, what: string): TokenKey {
  const { pkcs11, handle } = session;
  const isSet = (type: number) => session.attribute(object, type)[0] !== 0;
  const isAes = session.attribute(object, CKA.KEY_TYPE)[0] === CKK_AES;
  if (!isAes || session.attribute(object, CKA.VALUE_LEN)[0] !== KEY_LENGTH)
    throw new UsageError(`${what} is no AES key of 128 bits.`);
  if (!isSet(CKA.SENSITIVE) || isSet(CKA.EXTRACTABLE))
    throw new UsageError(
      `${what} can be taken out of the token (not sensitive, or extractable): it is in no custody.`,
    );
  if (!pkcs11.C_GetMechanismList(session.slot).includes(CKM_AES_CMAC))
    throw new UsageError(`${session.name} has no AES-CMAC (CKM_AES_CMAC).`);
  const inside = (compute: () => Buffer): Buffer => {
    try {
      return compute();
    } catch (error) {
      throw new DeviceError(`${what} cannot be used: ${tokenFault(error)}.`);
    }
  };
  const [purpose, scheme] = session.attribute(object, CKA.ID).toString("latin1").split("/");
  const isOurs = PURPOSES.includes(purpose as Purpose) && SCHEME_NAMES.includes(scheme as SchemeName);
  return {
    ...(isOurs && { purpose: purpose as Purpose, scheme: scheme as SchemeName }),
    about: `${what}${isSet(CKA.LOCAL) ? ", made there" : ""}`,
    cmac: (message) =>
      inside(() => {
        pkcs11.C_SignInit(handle, { mechanism: CKM_AES_CMAC }, object);
        return pkcs11.C_Sign(handle, Buffer.from(message), Buffer.alloc(16));
      }),
    cbc: (blocks) =>
      inside(() => {
        pkcs11.C_EncryptInit(handle, { mechanism: CKM_AES_CBC, parameter: Buffer.alloc(16) }, object);
        return pkcs11.C_Encrypt(handle, Buffer.from(blocks), Buffer.alloc(blocks.length));
      }),
    close: () => session.close(),
  };
}

/**
 * Put a master into a token, or have it made there where `value` is left out. Returns what takes it away again.
 * Throws UsageError where an object of that name is there already. The key can do no more than its scheme needs.
 */
export async function createTokenKey(
  uri: TokenUri,
  pin: Uint8Array,
  purpose: Purpose,
  scheme: SchemeName,
  value?: Uint8Array,
): Promise<{ key: TokenKey; remove(): void }> {
  const session = await Session.open(uri, pin);
  const what = `the key ${JSON.stringify(uri.object)} in ${session.name}`;
  let object: Handle | undefined;
  try {
    if (session.find(uri.object).length > 0)
      throw new UsageError(`${what} is there already, and keys are not written over; nothing was written.`);
    const yes = [CKA.TOKEN, CKA.PRIVATE, CKA.SENSITIVE, CKA.SIGN, ...(scheme === "kdf" ? [] : [CKA.ENCRYPT])];
    const no = [
      ...(scheme === "kdf" ? [CKA.ENCRYPT] : []),
      ...[
        CKA.EXTRACTABLE,
        CKA.MODIFIABLE,
        CKA.COPYABLE,
        CKA.DECRYPT,
        CKA.WRAP,
        CKA.UNWRAP,
        CKA.VERIFY,
        CKA.DERIVE,
      ],
    ];
    const template: Template = [
      { type: CKA.CLASS, value: CKO_SECRET_KEY },
      { type: CKA.KEY_TYPE, value: CKK_AES },
      { type: CKA.LABEL, value: uri.object },
      { type: CKA.ID, value: Buffer.from(`${purpose}/${scheme}`) },
      ...yes.map((type) => ({ type, value: true })),
      ...no.map((type) => ({ type, value: false })),
    ];
    object = value
      ? session.pkcs11.C_CreateObject(session.handle, [
          ...template,
          { type: CKA.VALUE, value: Buffer.from(value) },
        ])
      : session.pkcs11.C_GenerateKey(session.handle, { mechanism: CKM_AES_KEY_GEN }, [
          ...template,
          { type: CKA.VALUE_LEN, value: KEY_LENGTH },
        ]);
    const made = object;
    const key = usable(session, made, what);
    return { key, remove: () => session.pkcs11.C_DestroyObject(session.handle, made) };
  } catch (error) {
    if (object) session.pkcs11.C_DestroyObject(session.handle, object);
    session.close();
    if (error instanceof UsageError || error instanceof DeviceError) throw error;
    throw new UsageError(`${what} cannot be made: ${tokenFault(error)}; nothing was written.`);
  }
}

/** Parse a token's URI out of an option. */
export function tokenUri(text: string): TokenUri {
  if (!isTokenUri(text)) throw new UsageError("this is no pkcs11: URI.");
  return parseTokenUri(text);
}
