// A section: a function that is made from flash when it is needed and dropped after. `section(import("./handshake"))` is
// the default export of that module, `section(import("./record")).send` another one; the build replaces the call
// (scripts/lib/bundle/sections.ts), so it takes a plain string and nothing else. At most three parameters.

/** Make a function, or another value, of a module from flash. */
declare function section<M>(module: Promise<M>): M extends { default: infer T } ? T : M;
