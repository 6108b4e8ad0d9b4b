// Records under AES-128-CBC, as sections: encrypt-then-MAC (RFC 7366), or MAC-then-encrypt (RFC 5246, 6.2.3.2) where the
// profile allows it. What they do is ordered so that a record is on the heap once, or twice while natives turn it.
//
//   struct { opaque IV[16]; block-ciphered struct { opaque content[length]; uint8 padding[padding_length];
//            uint8 padding_length; }; opaque MAC[macLength]; } GenericBlockCipher;
//
// Under MAC-then-encrypt the MAC stands behind the content. Padding may be up to 255 bytes long.
import { finish, RUNNING, update } from "hal:digest";
import { CBC_DECRYPT, CBC_ENCRYPT, type Socket } from "../../hal/hal";
import type { Bytes } from "../bytes";
import { requireEncryptThenMac } from "../profile";
import { CLIENT, clientPads, keys, SERVER, serverPads } from "./keys";
import { encryptThenMac, macLength } from "./server_hello";

/** Compute the MAC of an `end` over `head`, the length of 2 bytes and `text`. */
export function mac(end: number, head: Bytes, text: Bytes): Bytes {
  return section(import("../crypto/hmac")).hmac(
    macLength,
    RUNNING
      ? end
        ? serverPads
        : clientPads
      : section(import("../crypto/hmac")).hmacKey(macLength, keys.substr(end * macLength, macLength)),
    [head, text.length >> 8, text.length, text],
  );
}

/** Write the record that carries `text` to `transport`; `head`: its number, type and version, 11 bytes. */
export function protect(transport: Socket, head: Bytes, text: Bytes): void {
  let tag = "";
  if (!requireEncryptThenMac && !encryptThenMac)
    tag = section(import("./cbc_records")).mac(CLIENT, head, text);
  const padding = 15 - ((text.length + tag.length) & 15);
  text = E.toString(section(import("../crypto/ctr_drbg")).random(16), text, tag, {
    data: padding,
    count: padding + 1,
  });
  text = section(import("../crypto/cbc")).cbcTurn(CBC_ENCRYPT, keys.substr(2 * macLength, 16), text);
  tag = encryptThenMac ? section(import("./cbc_records")).mac(CLIENT, head, text) : "";
  const length = text.length + tag.length;
  transport.write(E.toString(head.substr(8), length >> 8, length));
  transport.write(text);
  transport.write(tag);
}

/**
 * Return the plaintext of a record, whose body has come as `text`, and behind it, under encrypt-then-MAC, `tag`; undefined where
 * MAC, padding or length is wrong.
 */
export function unprotect(head: Bytes, text: Bytes, tag: Bytes): Bytes | undefined {
  let size = text.length;
  if (
    encryptThenMac &&
    section(import("../bytes")).difference(section(import("./cbc_records")).mac(SERVER, head, text), tag)
  )
    return;
  // IV and a block at least; or IV, MAC and the length of the padding
  if (size & 15 || size < (encryptThenMac ? 32 : 17 + macLength)) return;
  text = section(import("../crypto/cbc")).cbcTurn(CBC_DECRYPT, keys.substr(2 * macLength + 16, 16), text);
  if (!requireEncryptThenMac && !encryptThenMac)
    return section(import("./cbc_records")).openMacThenEncrypt(head, text);
  const padding = text.charCodeAt(--size);
  const end = size - padding;
  if (end < 16) return;
  for (let i = size; i-- > end; ) if (text.charCodeAt(i) ^ padding) return;
  return text.substr(16, end - 16);
}

/**
 * Take the content out of `text` (IV, content, HMAC and padding, decrypted) under MAC-then-encrypt. Undefined where padding
 * or MAC is wrong. Lucky 13 and its forerunners: the same loops and as many compressions whatever the padding says. A
 * padding longer than the record counts as none, and the blocks that a longer padding spares are hashed for nothing.
 */
export function openMacThenEncrypt(head: Bytes, text: Bytes): Bytes | undefined {
  text = text.substr(16);
  const size = text.length - 1;
  const padding = text.charCodeAt(size);
  const longest = size - macLength;
  let end = longest - padding;
  let bad = end >> 31;
  if (bad) end = longest;
  for (let i = size < 255 ? size : 255; i > 0; i--)
    bad |= (text.charCodeAt(size - i) ^ padding) & ~((padding - i) >> 31);
  const tag = text.substr(end, macLength);
  text = text.substr(0, end);
  bad |= section(import("../bytes")).difference(
    section(import("./cbc_records")).mac(SERVER, head, text),
    tag,
  );
  // 85: 13 bytes before the content, 9 that SHA adds, 63 to round up; 55: a message of one block
  const rest = "\0".repeat((((longest + 85) >> 6) - ((end + 85) >> 6)) * 64 + 55);
  finish(macLength, RUNNING ? update(macLength, "", rest) : rest);
  return bad ? undefined : text;
}
