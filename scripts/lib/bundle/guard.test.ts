// Every rule of the guard has a program that it must refuse, and one close by that it must take. A rule without a
// case here fails the first test; a rule taken out fails its own.
import assert from "node:assert/strict";
import { test } from "node:test";
import { findRefused, RULE_NAMES } from "./guard";

/** Rule -> programs that break it and nothing else, programs that do not. */
const CASES: Readonly<Record<string, { refused: string[]; taken: string[] }>> = {
  "default parameter": {
    refused: ["print(function(a=4){return a});"],
    taken: ["print(function(a){return a});"],
  },
  "rest parameter": {
    refused: ["print(function(...a){return a});"],
    taken: ["print(function(){return arguments});"],
  },
  spread: {
    refused: ["print(...[1]);", "print([...[1]]);", "print({...{}});"],
    taken: ["print([1].concat([2]));"],
  },
  destructuring: {
    refused: ["let{a}=global;print(a);", "let[a]=[3];print(a);", "print(function({a}){return a});"],
    taken: ["let a=global.a;print(a);"],
  },
  "optional chaining": {
    refused: ["print(global?.a);", "print(global.a?.());"],
    taken: ["print(global?3:.5);"],
  },
  power: { refused: ["print(2**3);", "let a=2;a**=3;"], taken: ["print(Math.pow(2,3));"] },
  "logical assignment": {
    refused: ["let a;a??=3;", "let a;a||=3;", "let a;a&&=3;"],
    taken: ["let a;a=a??3;a|=3;a=a||3;"],
  },
  async: {
    refused: ["print(async function(){});", "print(async()=>1);"],
    taken: ["let async=1;print(async);"],
  },
  generator: { refused: ["print(function*(){yield 1;});"], taken: ["print(function(){return 3*1});"] },
  label: { refused: ["a:for(;;){break a;}"], taken: ["for(;;){break;}"] },
  "tagged template": { refused: ["print`a`;"], taken: ["print(`a`);"] },
  "computed key": {
    refused: ["print({['a'+1]:2});", "class A{['b'](){return 1}}print(A);"],
    taken: ["print({'a-1':2});"],
  },
  "private member": { refused: ["class A{#x=1;}print(A);"], taken: ["class A{_x=1;}print(A);"] },
  "empty class field": { refused: ["class A{x;}print(A);"], taken: ["class A{x=0;}print(A);"] },
  "shared class field": {
    refused: ["class A{x=[];}print(A);", "class A{x={};}print(A);"],
    taken: ["class A{static x=[];}print(A);", "class A{constructor(){this.x=[]}}print(A);"],
  },
  "static block": {
    refused: ["class A{static{print(1);}}print(A);"],
    taken: ["class A{static b(){}}print(A);"],
  },
  BigInt: { refused: ["print(10n);"], taken: ["print(10);"] },
  "new.target": {
    refused: ["print(function(){return new.target});"],
    taken: ["print(function(){return this});"],
  },
  "module syntax": {
    refused: ["import'a';", "export default 3;", "import('a');"],
    taken: ["let imported=1;print(imported);"],
  },
  debugger: { refused: ["debugger;"], taken: ["print({debugger:1});"] },
  "strict directive": { refused: ['"use strict";'], taken: ['print("use strict");'] },
  "missing pin": { refused: ["digitalWrite(D99,1);", "print(A0);"], taken: ["let D5=1;print(D5);"] },
  "missing global": {
    refused: [
      "new Map();",
      "new Set();",
      "print(Symbol('a'));",
      "new Promise(print);",
      "new TextEncoder();",
      "g(1);",
    ],
    taken: ["let Map=1;print(Map);", "print(E,new Uint8Array(1),isNaN(2),{Map:1},global.Set);"],
  },
  "missing member": {
    refused: [
      "print(Math.imul(2,3));",
      "print(Array.from([1]));",
      "print(Uint8Array.of(1));",
      "print(Number.isInteger(1));",
      "print(Object.freeze({}));",
    ],
    taken: ["print(Math.min(2,3),Object.keys({}));", "let Math={imul:1};print(Math.imul);"],
  },
  "fixed-seed generator": {
    refused: ["print(Math.random());", "print(E.hwRand());"],
    taken: ["let own={random(){}};own.random();"],
  },
  prototype: {
    refused: ["print(Array.prototype.map);"],
    taken: ["print([].map);", "class A{}print(A.prototype);", "delete Function.prototype;"],
  },
  "missing method": {
    refused: ["print([1].at(0));", "print([1].flat());", "print([1].keys());", "print('a'.codePointAt(0));"],
    taken: ["print(Object.keys({}),'a'.lastIndexOf('a'),'a'.charCodeAt(0));"],
  },
  "regular expression": {
    refused: ["/(?:a)b/;", "/a{2}/;", "/a+?/;", "/a(?=b)/;", "/a/s;", "/a/u;", "/\\ba/;", "/\\u0041/;"].map(
      (literal) => `print(${literal.slice(0, -1)});`,
    ),
    taken: ["print(/^(a|b)+[a-c{?]*\\d?\\{$/gi);"],
  },
  "default clause": {
    refused: ["switch(2){default:print(1);break;case 2:print(2);}"],
    taken: ["switch(2){case 2:print(2);break;default:print(1);}"],
  },
  "comma in brackets": { refused: ["print([1,2][0,1]);"], taken: ["print((0,1),[0,1][1]);"] },
  "in inside for": {
    refused: ["for(let i=('a'in{})?3:4;i<5;i++)print(i);"],
    taken: ["for(let i=0;i<5;i++)print('a'in{});", "for(let k in {})print(k);"],
  },
  "bare do": {
    refused: ["let x=0;do if(x>3)break;while(x++<9);", "let x=0;do for(;x<3;)x++;while(x++<9);"],
    taken: ["let x=0;do{if(x>3)break;}while(x++<9);", "let x=0;do x++;while(x<9);"],
  },
  "name of": {
    refused: ["let of=3;print(of);", "print(function(of){});"],
    taken: ["print({of:1}.of);", "for(const x of [1])print(x);"],
  },
  "keyword as class member": {
    refused: ["class A{static of(){}}print(A);", "class A{delete(){}}print(A);", "class A{if=1;}print(A);"],
    taken: ["class A{get(){}set(){}}print(A,{of(){},delete(){}});"],
  },
  "new without arguments": { refused: ["print(new Uint8Array);"], taken: ["print(new Uint8Array(0));"] },
  "missing semicolon": {
    refused: ["print(1)\nprint(2);", "let a=1\nprint(a);"],
    taken: ["print(1);\nprint(2)\n"],
  },
  "return and newline": {
    refused: ["print(function(){if(1)return\nelse print(5);});"],
    taken: ["print(function(){if(1)return;else print(5);});", "print(function(){return});"],
  },
  "three levels of super": {
    refused: ["class A{m(){}}class B extends A{m(){}}class C extends B{m(){super.m();}}print(C);"],
    taken: ["class A{m(){}}class B extends A{m(){super.m();}}print(B);"],
  },
  "extending Error": {
    refused: ["class A extends Error{}print(A);"],
    taken: ["class B{}class A extends B{}print(A);"],
  },
  "captured loop variable": {
    refused: [
      "for(let i=0;i<2;i++)setTimeout(()=>print(i),1);",
      "for(const x of [1])setTimeout(()=>{print(x);},1);",
    ],
    taken: ["for(let i=0;i<2;i++){let j=i;setTimeout(()=>print(j),1);}"],
  },
  "not ASCII": { refused: ['print("ä");', 'print("\u0001");'], taken: ['print("\\xe4");'] },
  "used before its line": {
    refused: [
      "f();function f(){}",
      "function f(){g();}f();function g(){}",
      "function f(){return x;}print(f());const x=1;",
      "print(function(){h();function h(){}});",
      "print(function(){v=3;var v;});",
      "!function(){print(x);}();let x=1;",
    ],
    taken: [
      "function f(){g();}function g(){}f();",
      "function f(){setTimeout(g,1);}function g(){}f();",
      "let x=1;function f(){return x;}print(f());",
      "function a(n){if(n)b(n-1);}function b(n){if(n)a(n-1);}a(3);",
      "print(()=>later());let later=1;",
    ],
  },
};

/** Refused by the parser itself in a module, so no rule can see it. */
const BY_PARSER = ["with"];

test("every rule of the guard has its case", () => {
  assert.deepEqual([...Object.keys(CASES), ...BY_PARSER].sort(), [...RULE_NAMES].sort());
});

for (const [rule, { refused, taken }] of Object.entries(CASES)) {
  test(`the guard refuses: ${rule}`, () => {
    for (const text of refused) {
      const rules = findRefused(text).map((finding) => finding.rule);
      assert.ok(
        rules.includes(rule),
        `${text} was taken by this rule, refused by: ${rules.join(", ") || "none"}`,
      );
    }
    for (const text of taken) assert.deepEqual(findRefused(text), [], text);
  });
}

test("the guard knows names that a section may use, and counts from the section's offset", () => {
  assert.deepEqual(findRefused("print(own);", 0, new Set(["own"])), []);
  assert.equal(findRefused("print(own);", 100)[0].offset, 106);
});
