// The device once it holds its keys, sections: the console's port is ours (port.ts) and not the interpreter's, whose prompt
// shows every variable. Bytes from the port are collected to lines of at most LINE_LIMIT; the "\n" that ends a request is the last byte that
// comes, so wait for an answer before the next request. Bytes in both directions are base64. Requests and their answers, each
// a line:
//
//   prove <nonce>    identity, last error of the application (0: none), and in base64 the record's check values (12
//                    bytes), then for each of its keys CMAC(key, "prove" || nonce) (64). The nonce, 11 bytes, is the
//                    asker's choice; zeros stand for what is missing: without one this is the request for the state.
//   erase            a nonce, 8 bytes
//   erase <answer>   none: where answer = CMAC(console key, "con" || "r" || nonce || 4 zeros) (16 bytes) the device wipes itself and
//                    starts anew, blank. Else a new nonce: each is good for one answer.
//   any other        E and an error code
//
// Nothing reads a key back (protocol.md 3). 128 bits under a nonce of one use leave nothing to guess: no count of tries.
// Leaves out the boot counter and the minutes of protocol.md 6, which a person's short answer needs, and all writing of
// keys: a blank device has its prompt open, and the bench brings provision.ts along.
//
// Power cuts: a record that is not whole when the device starts is what a cut left, of its writing or of a wipe. Before the
// prompt opens the wipe is done again, whole, from the beginning.
import { flash } from "hal:flash";
import { serialOpen, serialWrite } from "hal:serial";
import { restart } from "hal:system";
import { board } from "board";
import { lastError } from "./application";
import type { Bytes } from "./bytes";
import { CHECK_VALUES, CONSOLE_KEY, RECORD_LENGTH } from "./key_record";
import { keyBytes } from "./port";
import { INTERNAL_ERROR, REQUEST_UNKNOWN, SENT } from "./tls/alert";

/** Longest line, bytes: of a longer one only the end is kept. */
const LINE_LIMIT = 64;

/** "key" and a zero, as a header's second word. */
const KEY_NAME = 0x79656b;

/** What has come of a line. */
let line: Bytes = "";
/** The nonce to which an answer may come. */
let nonce: Bytes = "";

/** Take what the port brings; called without, at power-on: begin. Says there whether the device has a key to work with. */
export function onSerial(bytes?: Bytes): unknown {
  return section(import("./lock")).lock(bytes);
}

/** Do what onSerial is asked to. */
export function lock(bytes?: Bytes): unknown {
  const macs = section(import("./key_record")).macs;
  const record = flash.read("key") || "";
  let wiped: boolean;
  if (!bytes) {
    if (keyBytes < RECORD_LENGTH) return keyBytes;
    serialOpen(onSerial);
    wiped = macs(record, "\0".repeat(16), 3) !== record.substr(CHECK_VALUES);
  } else {
    line = (line + bytes).slice(-LINE_LIMIT);
    if (bytes.slice(-1) !== "\n") return;
    // noise may stand before the request, in a line of its own
    line = line.trim();
    const words = line.substr(line.lastIndexOf("\n") + 1).split(" ");
    let answer = "E" + REQUEST_UNKNOWN;
    line = "";
    wiped = false;
    try {
      const given = atob(words[1] || "");
      if (words[0] === "prove")
        answer =
          (flash.readJSON("conf", true) || {}).id +
          ` ${lastError} ` +
          btoa(
            record.substr(CHECK_VALUES) + macs(record, `prove${given}${"\0".repeat(11)}`.substr(0, 16), 16),
          );
      if (words[0] === "erase") {
        wiped = !!nonce && macs(record, `conr${nonce}\0\0\0\0`, 16).substr(CONSOLE_KEY, 16) === given;
        section(import("./crypto/ctr_drbg")).seed();
        answer = btoa((nonce = section(import("./crypto/ctr_drbg")).random(8)));
      }
    } catch (error) {
      answer = "E" + ((error as number) | 0 || SENT + INTERNAL_ERROR);
    }
    if (!wiped) serialWrite(answer + "\r\n");
  }
  if (wiped) section(import("./lock")).wipe();
  return !wiped;
}

/**
 * Overwrite every file and every remain of one but the code, whose names begin with ".": Storage's own erase leaves the
 * bytes; then start anew. The record's name goes last: until then the next start wipes again.
 */
export function wipe(): void {
  const pages = require("Flash");
  let at: number = board.storageStart;
  // a header is size (4 bytes) and name (28)
  for (
    let head: Int32Array;
    (head = new Int32Array(pages.read(8, at).buffer))[0] > 0;
    at += (head[0] + 35) & -4
  )
    if ((head[1] & 255) !== 46)
      for (let i = (head[0] + 31) & -4; i > (head[1] === KEY_NAME ? 4 : 0); i -= 4)
        pages.write("\0\0\0\0", at + i);
  flash.erase("key");
  restart();
}
