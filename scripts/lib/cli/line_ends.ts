// What keyboards and scanners end a line with: CR, LF, or CR LF, which is one end and not two. Leaves out what a line means.

/** Make a filter for text as it comes in, chunk by chunk, that gives each end of line as one "\n". */
export function oneLineEnd(): (text: string) => string {
  let wasReturn = false;
  return (text) => {
    const rest = wasReturn && text.startsWith("\n") ? text.slice(1) : text;
    if (text !== "") wasReturn = text.endsWith("\r");
    return rest.replace(/\r\n?/g, "\n");
  };
}
