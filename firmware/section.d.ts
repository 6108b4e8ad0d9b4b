// A section: code that is evaluated from flash when it is needed and dropped after. `section(import("./handshake"))`
// is the default export of that module; the build replaces the call (scripts/lib/bundle/sections.ts), so it takes
// a plain string and nothing else. A default export that is a function, called at once, costs the least memory.

/** Evaluate the default export of a module from flash. */
declare function section<T>(module: Promise<{ default: T }>): T;
