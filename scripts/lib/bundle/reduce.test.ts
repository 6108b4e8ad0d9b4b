// Calls of functions of one use: what becomes its body, what stays because something could tell the difference.
import assert from "node:assert/strict";
import { test } from "node:test";
import { reduceCalls } from "./reduce";

const CASES: readonly [string, string][] = [
  // parameters that are used once, or not at all
  ["let a=1;f(((e,r)=>g(r))(0,[a,2]));", "let a=1;f(g([a,2]));"],
  ["let a=1;f((e=>e<<8|1)(a));", "let a=1;f(a<<8|1);"],
  ["let a=1;let b=(e=>e+1)(a)*2;", "let a=1;let b=(a+1)*2;"],
  ["let a=1;f((e=>e.x)(a+1));", "let a=1;f((a+1).x);"],
  // a statement where nobody takes what it gives
  ["(e=>{f(e)})(1);", "f(1);"],
  ["let a=()=>{return(e=>{f(e)})(1),2};", "let a=()=>{return f(1),2};"],
  ["let a=f((e=>{g(e)})(1));", "let a=f((e=>{g(e)})(1));"],
  // what does something is done first all the same
  ["let b=1,g=2;f((e=>g(b,e))(h()));", "let b=1,g=2;f(g(b,h()));"],
  ["let b=1,g=2;f((e=>g(k(),e))(h()));", "let b=1,g=2;f((e=>g(k(),e))(h()));"],
  ["let b=1;f((e=>g(b,e))(h()));b=2;", "let b=1;f((e=>g(b,e))(h()));b=2;"],
  ["f(((e,r)=>g(r,e))(h(),k()));", "f(((e,r)=>g(r,e))(h(),k()));"],
  // what may change meanwhile
  ["let b=1;f((e=>g(k(),e))(b));b=2;", "let b=1;f((e=>g(k(),e))(b));b=2;"],
  ["let b=1;f((e=>g(k(),e))(b));", "let b=1;f(g(k(),b));"],
  // used twice, or perhaps not at all, or from within
  ["let a=1;f((e=>e+e)(a));", "let a=1;f((e=>e+e)(a));"],
  ["f((e=>c?e:0)(h()));", "f((e=>c?e:0)(h()));"],
  ["f((e=>()=>e)(h()));", "f((e=>()=>e)(h()));"],
];

test("a call becomes the body of its function where nothing can tell the difference", () => {
  for (const [code, wanted] of CASES) assert.equal(reduceCalls(code).code, wanted, code);
});
