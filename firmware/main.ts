// The firmware: the only file with effects on import.
import { everyS, hasCallbacks, hasEvery, hasStart } from "product";
import { ATTEMPT, TIMES } from "./app/event";
import { onEvent } from "./app/events";
import { CONSOLE, KEEP_ALIVE_S } from "./profile";
import { key } from "./store/key";
import { RECORD_LENGTH } from "./store/key_record";
import { PRODUCT_CALLBACK, PRODUCT_START } from "./tls/alert";

// the interpreter makes these classes, 8 variables each, when a method of a text, an object or a function is first called,
// unless their names are taken; the methods are there all the same. The loader has made Function's
delete (Function as any).prototype;
// biome-ignore lint/suspicious/noGlobalAssign: that is what it is for
(Function as any) = (Object as any) = (String as any) = undefined;

setTimeout(onEvent, KEEP_ALIVE_S * 500);
if (hasEvery) setTimeout(onEvent, everyS * 1000, TIMES);
if (hasCallbacks)
  process.on("uncaughtException", () => section(import("./app/application")).report(PRODUCT_CALLBACK));
if (hasStart)
  try {
    section(import("product")).start();
  } catch (_) {
    section(import("./app/application")).report(PRODUCT_START);
    // an image that is not confirmed has three starts
    if (typeof trial === "number") section(import("hal:system")).restart();
  }
if (!CONSOLE || !key[RECORD_LENGTH - 1] || section(import("./console/console")).open()) onEvent(ATTEMPT);
