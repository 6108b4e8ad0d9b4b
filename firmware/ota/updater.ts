// Updates over the air (README.md here has the states), as sections. A manifest is held to every field before
// anything is erased, then lies at the end of the slot that does not run; pieces are asked for one by one and written where
// they belong, and the image is held to its digest before the loader is told to try it. Between two pieces the device
// holds but the topic that it waits for: how far an update got, the slot itself tells, so that it goes on after a power
// cut or a connection that ended. Leaves out UNSUBSCRIBE, for a clean session is gone at its end; which key
// version a manifest names, for another one's tag is wrong.
import { watchdog } from "hal:system";
import { board } from "board";
import { hasStop, hasStore } from "product";
import { bundle } from "../boot/load_section";
import { type Bytes, uint16 } from "../bytes";
import { base, payload } from "../mqtt/client";
import { OTA, PIECE } from "../mqtt/packets";
import { CONSOLE } from "../profile";
import { AT_ACTIVE, AT_ATTEMPTS, AT_ERASES, AT_FLOOR, AT_REVERT, STATE } from "../store/journal";
import { key } from "../store/key";
import { CHECK_VALUES, OTA_KEY, RECORD_LENGTH, REKEY_KEY } from "../store/key_record";
import {
  FLASH_FAILED,
  IMAGE_DIGEST,
  MANIFEST_ENCODING,
  MANIFEST_FORMAT,
  MANIFEST_HARDWARE,
  MANIFEST_KEYS,
  MANIFEST_LENGTH,
  MANIFEST_SEQUENCE,
  MANIFEST_TAG,
  MANIFEST_TARGET,
  MANIFEST_TYPE,
  NOT_CONFIRMED,
  PIECE_LENGTH,
} from "../tls/alert";
import {
  AT_DIGEST,
  AT_ENCODING,
  AT_FORMAT,
  AT_HARDWARE,
  AT_IMAGE_LENGTH,
  AT_SEQUENCE,
  AT_SLOT_RULE,
  AT_TAG,
  AT_TARGET,
  AT_TYPE,
  ENCODING_HEATSHRINK,
  ENCODING_NONE,
  FORMAT,
  KEYS_BYTES,
  MANIFEST_BYTES,
  PIECE_BYTES,
  SLOT_OTHER,
  TYPE_IMAGE,
} from "./manifest";
import { AT_KEYS, AT_MANIFEST, SLOT_BYTES } from "./slot";

/**
 * Topic of the piece that is waited for; undefined: no update is under way; null: one is held back (held.ts); "": the next
 * piece is to be asked for, as soon as the message that was taken is off the heap.
 */
export let awaited: Bytes | undefined | null;
/** The number of that piece, of the last one after an update. */
export let piece: number;
/** Reason of the last revert, of tls/alert.ts; 0: none. Known from the first session on. */
export let revertReason: number;
/** When a slot was erased last, by getTime(); undefined: not since the start. */
let erasedAt: number | undefined;

/**
 * Take the manifest that came as `payload`: begin the update that it tells of, or go on with it. What was offered before is not
 * offered any more. Returns the code of what is wrong with it, if anything is.
 */
export function onManifest(): number | undefined {
  const other = SLOT_BYTES ^ slot;
  awaited = undefined;
  // an empty one takes an offer back; the one that runs is what a broker that retains it offers each time; without keys
  // nothing can be updated
  if (
    !payload ||
    !CONSOLE ||
    !key[RECORD_LENGTH - 1] ||
    payload.substr(0, MANIFEST_BYTES) === bundle.substr(AT_MANIFEST, MANIFEST_BYTES)
  )
    return;
  const state = section(import("../store/journal")).newest(STATE);
  const lying = section(import("./updater")).offered();
  // the tag from here and not from `fault`: its frame and that one's would be on the heap together
  let code =
    section(import("./updater")).fault(payload, state.substr(AT_FLOOR, 4)) ||
    // nor below what lies there, where that is whole: what a cut has left of it ends in erased bytes
    (lying[0] < "\x02" &&
      lying.substr(MANIFEST_BYTES - 2) < "\xff\xff" &&
      payload.substr(AT_SEQUENCE, 4) < lying.substr(AT_SEQUENCE, 4) &&
      MANIFEST_SEQUENCE) ||
    (section(import("../bytes")).difference(
      section(import("../crypto/cmac")).cmac(
        key.substr(OTA_KEY, 16),
        payload.substr(0, AT_TAG) + payload.substr(MANIFEST_BYTES),
      ),
      payload.substr(AT_TAG, 16),
    ) &&
      MANIFEST_TAG);
  if (code) return code;
  piece = 0;
  code = uint16(state, AT_REVERT);
  // cut out each time: what looks at the keys wants the heap that a copy held
  if (payload.substr(0, MANIFEST_BYTES) === lying) {
    // what came back once is not tried again
    if (code) return code;
    // the last piece that was begun may be torn: the same is written over it
    piece = (uint16(payload, AT_IMAGE_LENGTH + 2) - 1) >> 9;
    while (piece && section(import("./slots")).read(other + piece * PIECE_BYTES, 1) === "\xff") piece--;
  } else {
    // what runs is tried yet: the other image is the one that would come back
    if (state.charCodeAt(AT_ATTEMPTS) || section(import("./held"))(state.charCodeAt(AT_ERASES), erasedAt)) {
      awaited = null;
      return;
    }
    let keys = bundle.substr(AT_KEYS, KEYS_BYTES);
    if (payload.length > MANIFEST_BYTES) {
      // a copy: it is turned where it lies
      keys = section(import("../crypto/ctr")).ctrTurn(
        key.substr(REKEY_KEY, 16) + payload,
        E.toString(payload.substr(MANIFEST_BYTES), ""),
      );
      if (
        section(import("../store/key_record")).checkValues(keys) !==
        keys.substr(CHECK_VALUES, RECORD_LENGTH - CHECK_VALUES)
      )
        return MANIFEST_KEYS;
    }
    // counted before it is done; and why another image came back is no reason against this one
    section(import("./updater")).setState(slot, ERASED, 0);
    erasedAt = getTime();
    // the manifest is the first to go and the last to come: where one stands, the slot was erased whole
    for (let at = SLOT_BYTES; at; )
      require("Flash").erasePage(board.slotsStart + other + (at -= board.pageLength));
    require("Flash").write(keys + payload.substr(0, MANIFEST_BYTES), board.slotsStart + AT_KEYS + other);
  }
  awaited = "";
}

/** Ask the broker for what it has on `/ota`. */
export function askAnew(): void {
  section(import("../mqtt/client")).subscribe(OTA, "/ota");
}

/** Read the manifest in the slot that does not run: a slot's length is one bit, above all those of a place in it. */
export function offered(): Bytes {
  return section(import("./slots")).read(slot ^ (SLOT_BYTES + AT_MANIFEST), MANIFEST_BYTES);
}

/** What `setState` is called for: an image is confirmed; it is to be tried; one more of the slot's erases. */
const CONFIRMED = 0;
const PENDING = 1;
const ERASED = 2;

/**
 * Write a STATE (journal.ts): the slot that begins at `active`, what has become of it, the reason of a revert. The floor never falls;
 * the erases are counted until an image is confirmed.
 */
export function setState(active: number, change: number, reason: number): void {
  const before = section(import("../store/journal")).newest(STATE);
  const floor = before.substr(AT_FLOOR, 4);
  const sequence = bundle.substr(AT_MANIFEST + AT_SEQUENCE, 4);
  // of no record it is none
  const erases = change && before.charCodeAt(AT_ERASES) + (change >> 1);
  section(import("../store/journal")).append(
    E.toString(STATE, active && 1, change & 1, erases, 0, reason, 0, 0, sequence > floor ? sequence : floor),
  );
}

/** Find what makes a manifest none for this device but its tag, in the order of its fields: a code, or 0. `floor`: 4 bytes. */
export function fault(manifest: Bytes, floor: Bytes): number {
  const byte = (at: number): number => manifest.charCodeAt(at);
  const length = uint16(manifest, AT_IMAGE_LENGTH + 2);
  if (byte(AT_FORMAT) !== FORMAT || byte(AT_SLOT_RULE) !== SLOT_OTHER) return MANIFEST_FORMAT;
  // there are two types, and the second one has keys behind it
  const type = byte(AT_TYPE) - TYPE_IMAGE;
  if (type >> 1) return MANIFEST_TYPE;
  if (manifest.length !== MANIFEST_BYTES + KEYS_BYTES * type) return MANIFEST_FORMAT;
  if (byte(AT_ENCODING) > (board.heatshrink ? ENCODING_HEATSHRINK : ENCODING_NONE)) return MANIFEST_ENCODING;
  if (!((byte(AT_HARDWARE + 3 - (board.hardware >> 3)) >> (board.hardware & 7)) & 1))
    return MANIFEST_HARDWARE;
  if (manifest.substr(AT_SEQUENCE, 4) <= floor) return MANIFEST_SEQUENCE;
  if (uint16(manifest, AT_IMAGE_LENGTH) || !length || length > AT_KEYS) return MANIFEST_LENGTH;
  return manifest.indexOf(base + "\0") !== AT_TARGET ? MANIFEST_TARGET : 0;
}

/** Ask for the piece, and tell with each eighth how many there are already. */
export function ask(): void {
  const manifest = section(import("./updater")).offered();
  const digest = uint16(manifest, AT_DIGEST) * 65536 + uint16(manifest, AT_DIGEST + 2);
  awaited = `fw/${base.split("/")[0]}/${digest}/${piece}`;
  section(import("../mqtt/client")).subscribe(PIECE, awaited);
  if (!(piece & 7)) section(import("../mqtt/client")).publish("update", `{"got":${piece}}`, 0);
}

/** Take the piece that was awaited, as `payload`; after the last one start anew, into the new image. Returns as above. */
export function onPiece(): number | undefined {
  const other = SLOT_BYTES ^ slot;
  const manifest = section(import("./updater")).offered();
  const left = uint16(manifest, AT_IMAGE_LENGTH + 2) - piece * PIECE_BYTES;
  awaited = undefined;
  const isPacked = board.heatshrink && manifest.charCodeAt(AT_ENCODING);
  let bytes = isPacked ? "" : payload;
  // a packed piece may hold 34 times its bytes: it is unpacked a little at a time, until it is too long or all there
  for (let at = 0; isPacked && at < payload.length && bytes.length < PIECE_BYTES + 1; )
    bytes = E.toString(require("heatshrink").decompress(payload.substr(0, (at += 16))));
  if (bytes.length !== (left < PIECE_BYTES ? left : PIECE_BYTES)) return PIECE_LENGTH;
  require("Flash").write(bytes, board.slotsStart + other + piece * PIECE_BYTES);
  bytes = ""; // off the heap before the image is looked at
  if (left > PIECE_BYTES) {
    piece++;
    awaited = "";
  } else {
    if (!section(import("./slots")).image(other)) {
      // what is no manifest any more keeps its sequence, and makes that the slot is erased before the next try
      require("Flash").write("\0", board.slotsStart + AT_MANIFEST + other);
      section(import("./updater")).setState(slot, ERASED, 0);
      return IMAGE_DIGEST;
    }
    section(import("./updater")).setState(other, PENDING, 0);
    if (section(import("../store/journal")).newest(STATE).charCodeAt(AT_ATTEMPTS) !== 1) return FLASH_FAILED;
    (hasStop || hasStore
      ? section(import("../app/application")).reboot
      : section(import("hal:system")).restart)();
  }
}

/**
 * Learn why another image came back; and where `hasLasted`, that a session of the image that runs has, note that it stays, and
 * that what is not above it is taken no more.
 */
export function confirm(hasLasted?: boolean): void {
  const state = section(import("../store/journal")).newest(STATE);
  revertReason = uint16(state, AT_REVERT);
  if (
    !hasLasted ||
    (state &&
      !state.charCodeAt(AT_ATTEMPTS) &&
      state.substr(AT_FLOOR, 4) >= bundle.substr(AT_MANIFEST + AT_SEQUENCE, 4))
  )
    return;
  // caught as an error, that there is none would cost the heap the class of that error
  if (typeof trial === "number") {
    trial = clearInterval(trial);
    watchdog(true);
  }
  // the loader could not count the start of the image that it was to try
  if (state && state.charCodeAt(AT_ACTIVE) !== (slot && 1)) revertReason = NOT_CONFIRMED;
  section(import("./updater")).setState(slot, CONFIRMED, revertReason);
}
