// Updates over the air (protocol.md 5; README.md here has the states), as sections. A manifest is held to every field before
// anything is erased, then lies at the end of the slot that does not run; pieces are asked for one by one and written where
// they belong, and the image is held to its digest before the loader is told to try it. Between two pieces the device
// holds but the topic that it waits for: how far an update got, the slot itself tells, so that it goes on after a power
// cut or a connection that ended. Leaves out UNSUBSCRIBE, for a clean session is gone at its end; TYPE_REKEY; which key
// version a manifest names, for another one's tag is wrong.
import { flash } from "hal:flash";
import { board } from "board";
import { type Bytes, uint16 } from "../bytes";
import { STATE } from "../journal";
import { OTA_KEY, RECORD_LENGTH } from "../key_record";
import { bundle } from "../load_section";
import { base, payload } from "../mqtt/client";
import { SUBSCRIBE } from "../mqtt/packets";
import { keyBytes } from "../port";
import {
  FLASH_FAILED,
  IMAGE_DIGEST,
  MANIFEST_ENCODING,
  MANIFEST_FORMAT,
  MANIFEST_HARDWARE,
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
  AT_MANIFEST,
  AT_PRODUCT,
  AT_SEQUENCE,
  AT_SERIAL,
  AT_SLOT_RULE,
  AT_TAG,
  AT_TYPE,
  ENCODING_HEATSHRINK,
  ENCODING_NONE,
  FORMAT,
  MANIFEST_BYTES,
  PIECE_BYTES,
  SLOT_BYTES,
  SLOT_OTHER,
  TYPE_IMAGE,
} from "./manifest";

/** Topic of the piece that is waited for; undefined: no update is under way. */
let awaited: Bytes | undefined;
/** Reason of the last revert, of tls/alert.ts; 0: none. Known from the first session on. */
export let revertReason = 0;

/** Take the `payload` that came on `/ota` or, a whole topic, any other. Returns 0, or the code of what is wrong with it. */
export function onMessage(topic: Bytes): number {
  // without keys nothing can be updated
  if (keyBytes < RECORD_LENGTH) return 0;
  if (topic === "/ota") return section(import("./updater")).onManifest();
  return topic === awaited ? section(import("./updater")).onPiece() : 0;
}

/** Take a manifest: begin the update that it tells of, or go on with it. */
export function onManifest(): number {
  const other = SLOT_BYTES ^ slot;
  // an empty one takes an offer back; the one that runs is what a broker that retains it offers each time
  if (!payload || payload === bundle.substr(AT_MANIFEST, MANIFEST_BYTES)) return 0;
  const state = section(import("../journal")).newest(STATE);
  let code = section(import("./updater")).fault(payload, state.substr(8, 4));
  let piece = 0;
  if (code) return code;
  if (payload === section(import("./slots")).read(other + AT_MANIFEST, MANIFEST_BYTES)) {
    // what came back once is not tried again
    code = uint16(state, 4);
    if (code) return code;
    // the last piece that was begun may be torn: the same is written over it
    piece = (uint16(payload, AT_IMAGE_LENGTH + 2) - 1) >> 9;
    while (piece && section(import("./slots")).read(other + piece * PIECE_BYTES, 1) === "\xff") piece--;
  } else {
    const pages = require("Flash");
    // the manifest is the first to go and the last to come: where one stands, the slot was erased whole
    for (let at = SLOT_BYTES; at; ) pages.erasePage(board.slotsStart + other + (at -= board.pageLength));
    // why another image came back is no reason against this one
    if (uint16(state, 4))
      section(import("../journal")).append(
        E.toString(STATE, slot / SLOT_BYTES, "\0\0\0\0\0\0", state.substr(8, 4)),
      );
    pages.write(payload, board.slotsStart + other + AT_MANIFEST);
  }
  section(import("./updater")).ask(piece);
  return 0;
}

/** Find what makes a manifest none for this device, in the order of its fields: a code, or 0. `floor`: 4 bytes. */
export function fault(manifest: Bytes, floor: Bytes): number {
  const byte = (at: number): number => manifest.charCodeAt(at);
  const zeros = "\0".repeat(AT_SLOT_RULE - AT_SERIAL);
  const end = base.indexOf("/");
  const length = uint16(manifest, AT_IMAGE_LENGTH + 2);
  if (manifest.length !== MANIFEST_BYTES || byte(AT_FORMAT) !== FORMAT || byte(AT_SLOT_RULE) !== SLOT_OTHER)
    return MANIFEST_FORMAT;
  if (byte(AT_TYPE) !== TYPE_IMAGE) return MANIFEST_TYPE;
  if (byte(AT_ENCODING) > (board.heatshrink ? ENCODING_HEATSHRINK : ENCODING_NONE)) return MANIFEST_ENCODING;
  if (!((byte(AT_HARDWARE + 3 - (board.hardware >> 3)) >> (board.hardware & 7)) & 1))
    return MANIFEST_HARDWARE;
  if (manifest.substr(AT_SEQUENCE, 4) <= floor) return MANIFEST_SEQUENCE;
  if (byte(AT_IMAGE_LENGTH) || byte(AT_IMAGE_LENGTH + 1) || !length || length > AT_MANIFEST)
    return MANIFEST_LENGTH;
  if (
    manifest.substr(AT_PRODUCT, AT_SLOT_RULE - AT_PRODUCT) !==
    (base.substr(0, end) + zeros).substr(0, AT_SERIAL - AT_PRODUCT) +
      (base.substr(end + 1) + zeros).substr(0, AT_SLOT_RULE - AT_SERIAL)
  )
    return MANIFEST_TARGET;
  const key = (flash.read("key") as Bytes).substr(OTA_KEY, 16);
  const tag = section(import("../crypto/cmac")).cmac(key, manifest.substr(0, AT_TAG));
  return section(import("../bytes")).difference(tag, manifest.substr(AT_TAG)) ? MANIFEST_TAG : 0;
}

/** Ask for a piece, and tell with each eighth how many there are already. */
export function ask(piece: number): void {
  const manifest = section(import("./slots")).read((SLOT_BYTES ^ slot) + AT_MANIFEST, MANIFEST_BYTES);
  const digits = "0123456789abcdef";
  awaited = "fw/" + base.substr(0, base.indexOf("/") + 1);
  for (let i = AT_DIGEST; i < AT_DIGEST + 4; i++)
    awaited += digits[manifest.charCodeAt(i) >> 4] + digits[manifest.charCodeAt(i) & 15];
  awaited += "/" + piece;
  // a packet identifier of its own, and QoS 0
  section(import("../mqtt/packets")).putPacket(
    SUBSCRIBE,
    E.toString(128, piece, 0, awaited.length, awaited),
    "\0",
  );
  const count = (uint16(manifest, AT_IMAGE_LENGTH + 2) + PIECE_BYTES - 1) >> 9;
  if (!(piece & 7))
    section(import("../mqtt/client")).publish("up/update", `{"got":${piece},"of":${count}}`, 0);
}

/** Take the piece that was awaited; after the last one start anew, into the new image. */
export function onPiece(): number {
  const pages = require("Flash");
  const other = SLOT_BYTES ^ slot;
  const manifest = section(import("./slots")).read(other + AT_MANIFEST, MANIFEST_BYTES);
  const piece = +awaited!.substr(awaited!.lastIndexOf("/") + 1);
  const left = uint16(manifest, AT_IMAGE_LENGTH + 2) - piece * PIECE_BYTES;
  const bytes =
    board.heatshrink && manifest.charCodeAt(AT_ENCODING)
      ? E.toString(require("heatshrink").decompress(payload))
      : payload;
  awaited = undefined;
  if (bytes.length !== (left < PIECE_BYTES ? left : PIECE_BYTES)) return PIECE_LENGTH;
  pages.write(bytes, board.slotsStart + other + piece * PIECE_BYTES);
  if (left > PIECE_BYTES) section(import("./updater")).ask(piece + 1);
  else {
    if (!section(import("./slots")).image(other / SLOT_BYTES)) {
      // without its manifest the slot is erased before the next try
      pages.erasePage(board.slotsStart + other + AT_MANIFEST);
      return IMAGE_DIGEST;
    }
    const newest = section(import("../journal")).newest;
    section(import("../journal")).append(
      E.toString(STATE, other / SLOT_BYTES, 1, "\0\0\0\0\0", newest(STATE).substr(8, 4)),
    );
    if (newest(STATE).charCodeAt(2) !== 1) return FLASH_FAILED;
    section(import("hal:system")).restart();
  }
  return 0;
}

/** Note that the image that runs has had a session: it stays, and what is not above it is taken no more. */
export function confirm(): void {
  const state = section(import("../journal")).newest(STATE);
  revertReason = uint16(state, 4);
  if (state && !state.charCodeAt(2)) return;
  if (global.trial) global.trial = clearTimeout(global.trial);
  // the loader could not count the start of the image that it was to try
  if (state && state.charCodeAt(1) !== slot / SLOT_BYTES) revertReason = NOT_CONFIRMED;
  const floor = state.substr(8, 4);
  const sequence = bundle.substr(AT_MANIFEST + AT_SEQUENCE, 4);
  section(import("../journal")).append(
    E.toString(STATE, slot / SLOT_BYTES, 0, 0, 0, revertReason, 0, 0, sequence > floor ? sequence : floor),
  );
}
