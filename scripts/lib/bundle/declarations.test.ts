// Functions become arrow functions where that changes nothing.
import assert from "node:assert/strict";
import { test } from "node:test";
import { shortenDeclarations } from "./declarations";

const same = (program: string): void => assert.equal(shortenDeclarations(program).code, program);

test("function declarations and const become let", () => {
  assert.equal(
    shortenDeclarations("function f(a, b) { return g(a) + b; }\nconst g = (x) => x, h = 3;").code,
    "let f = (a, b) => { return g(a) + b; };\nlet g = (x) => x, h = 3;",
  );
  assert.equal(
    shortenDeclarations("if (x) { function f() { for (const y of z) print(y); } }").code,
    "if (x) { let f = () => { for (let y of z) print(y); }; }",
  );
});

test("a function that looks at its call, or is constructed, stays", () => {
  same("function f() { return this; }");
  same("function f() { return () => this.a; }");
  same("function f() { return arguments.length; }");
  same("function F() { return 1; }\nnew F();");
  same("function F() { return 1; }\nF.prototype.a = 1;");
  assert.match(
    shortenDeclarations("function f() { return function () { return this; }; }").code,
    /^let f = /,
  );
});
