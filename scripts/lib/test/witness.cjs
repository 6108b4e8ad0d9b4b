// Loaded into a command under test (NODE_OPTIONS=--require): writes down, in the file that WITNESS names, all that others could see
// of it: its command line and environment, those of the programs that it starts, and every byte that it writes to any file, however
// short that is there. Leaves out what native code writes: the test looks at the files that stay.
const childProcess = require("node:child_process");
const fs = require("node:fs");
const { syncBuiltinESMExports } = require("node:module");

const { openSync, writeSync } = fs;
const file = openSync(process.env.WITNESS, "a");

/** Note texts and bytes, whatever stands between them. */
function note(values) {
  for (const value of values)
    if (typeof value === "string" || ArrayBuffer.isView(value)) {
      writeSync(file, value);
      writeSync(file, "\0");
    } else if (Array.isArray(value)) note(value);
}

/** Have functions of `object` note their arguments. */
function watch(object, names) {
  for (const name of names) {
    const original = object[name];
    object[name] = function (...values) {
      note(values);
      return original.apply(this, values);
    };
  }
}

note([...process.argv, ...Object.entries(process.env).map(([name, value]) => `${name}=${value}`)]);
watch(fs, ["writeSync", "writevSync", "writeFileSync", "appendFileSync", "write", "writev", "writeFile", "appendFile"]);
watch(fs.promises, ["writeFile", "appendFile"]);
const { open } = fs.promises;
fs.promises.open = async (...values) => {
  const handle = await open(...values);
  watch(handle, ["write", "writev", "writeFile", "appendFile"]);
  return handle;
};
const { spawn } = childProcess.ChildProcess.prototype;
childProcess.ChildProcess.prototype.spawn = function (options) {
  note([options.args, options.envPairs]);
  return spawn.call(this, options);
};
for (const name of ["spawnSync", "execFileSync", "execSync"]) {
  const original = childProcess[name];
  childProcess[name] = (...values) => {
    note([...values.flat(), ...Object.values(values.at(-1)?.env ?? {})]);
    return original(...values);
  };
}
syncBuiltinESMExports();
