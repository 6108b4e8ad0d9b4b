// What a context of V8 has and Espruino 2v29 has not, taken away, so that a bundle that uses it fails here as
// it would on a board; and the calls that differ in silence, made to differ: TypedArray.set cuts what is too
// long, and String's indexOf takes the end of a text for a match of a longer one. Leaves out syntax, which the build's guard checks, function hoisting, and prototypes of what cannot
// be had (Array.prototype itself).
import { fixedCourse } from "./noise";

/** Globals of Espruino's own language part; every other one goes. */
const GLOBALS = (
  "globalThis undefined NaN Infinity Object Function Array Number Boolean String Math JSON Date RegExp " +
  "Promise Error SyntaxError TypeError ReferenceError ArrayBuffer Uint8Array Uint8ClampedArray Int8Array " +
  "Uint16Array Int16Array Uint32Array Int32Array Float32Array Float64Array DataView eval parseInt " +
  "parseFloat isNaN isFinite encodeURIComponent decodeURIComponent"
).split(" ");

/** Static members and methods that there are; the others of the same class go. */
const MEMBERS: Record<string, string> = {
  Object:
    "keys getOwnPropertyNames values entries fromEntries create getOwnPropertyDescriptor " +
    "getOwnPropertyDescriptors defineProperty defineProperties getPrototypeOf setPrototypeOf assign",
  "Object.prototype": "constructor valueOf toString hasOwnProperty __proto__",
  Array: "isArray",
  "Array.prototype":
    "constructor toString length indexOf includes join push pop map forEach filter find findIndex some " +
    "every reduce splice shift unshift slice sort concat fill reverse",
  Number: "NaN MAX_VALUE MIN_VALUE NEGATIVE_INFINITY POSITIVE_INFINITY",
  "Number.prototype": "constructor toFixed toString valueOf",
  String: "fromCharCode",
  "String.prototype":
    "constructor length charAt charCodeAt indexOf lastIndexOf match replace replaceAll substring substr " +
    "slice split toLowerCase toUpperCase trim concat startsWith endsWith includes repeat padStart padEnd " +
    "toString valueOf",
  Math:
    "E PI LN2 LN10 LOG2E LOG10E SQRT2 SQRT1_2 abs acos asin atan atan2 cos pow random round sin tan sqrt " +
    "ceil floor exp log min max sign",
  JSON: "parse stringify",
  Promise: "all resolve reject",
  "Promise.prototype": "constructor then catch",
  "Function.prototype": "constructor call apply bind toString length name",
  Uint8Array: "BYTES_PER_ELEMENT",
  TypedArray: "",
  "TypedArray.prototype":
    "constructor buffer byteLength byteOffset length set map subarray indexOf includes join sort forEach " +
    "reduce fill filter find findIndex reverse slice some every toString",
  "ArrayBuffer.prototype": "constructor byteLength",
};
/** Members that cannot be reconfigured, or that the engine's own objects need. */
const KEPT = ["prototype", "length", "name", "arguments", "caller"];

/** Make the fresh context whose global object this is as poor as Espruino. */
export function makePoor(world: typeof globalThis): void {
  const typedArray = Object.getPrototypeOf(world.Uint8Array);
  // Math.random has a fixed seed on most boards: the same course at every boot
  const course = fixedCourse();
  world.Math.random = () => (course.word() as number) / 4294967296;
  const { set } = typedArray.prototype;
  typedArray.prototype.set = function (this: Uint8Array, source: ArrayLike<number>, offset = 0) {
    const room = Math.max(0, this.length - offset);
    set.call(this, source.length > room ? Array.from(source).slice(0, room) : source, offset);
  };
  // jswrap_string_indexOf compares as far as both go; what is longer than the whole text it does not look for
  const find = (text: string, part: string, from: number) => {
    if (part.length > text.length) return -1;
    for (let at = Math.max(0, from); at < text.length; at++)
      if (text.startsWith(part.slice(0, text.length - at), at)) return at;
    return -1;
  };
  world.String.prototype.indexOf = function (this: string, part: string, from = 0) {
    return find(String(this), String(part), from);
  };
  world.String.prototype.includes = function (this: string, part: string, from = 0) {
    return find(String(this), String(part), from) >= 0;
  };
  for (const [path, names] of Object.entries(MEMBERS)) {
    let object: any = path.startsWith("TypedArray") ? { TypedArray: typedArray } : world;
    for (const name of path.split(".")) object = object[name];
    for (const name of Object.getOwnPropertyNames(object)) {
      if (!names.split(" ").includes(name) && !KEPT.includes(name)) Reflect.deleteProperty(object, name);
    }
  }
  for (const name of Object.getOwnPropertyNames(world)) {
    if (!GLOBALS.includes(name)) Reflect.deleteProperty(world, name);
  }
}
