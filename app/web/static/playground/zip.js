// Reads the ZIP that /v1/normalize answers with several pictures: stored, never compressed, sizes in the directory.

const END = 0x06054b50;
const ENTRY = 0x02014b50;

/**
 * The files of an archive, by name, in order.
 * Source: APPNOTE.TXT 6.3.10 of PKWARE, sections 4.3.7, 4.3.12 and 4.3.16.
 *
 * @param {Blob} archive
 * @returns {Promise<Map<string, Blob>>}
 */
export async function readZip(archive) {
  const view = new DataView(await archive.arrayBuffer());
  let end = view.byteLength - 22;
  while (end >= 0 && view.getUint32(end, true) !== END) end -= 1;
  if (end < 0) throw new Error("not a ZIP archive");
  const names = new TextDecoder();
  const files = new Map();
  let at = view.getUint32(end + 16, true);
  while (view.getUint32(at, true) === ENTRY) {
    const [nameLength, extraLength, commentLength] = [28, 30, 32].map((offset) => view.getUint16(at + offset, true));
    const size = view.getUint32(at + 24, true);
    const local = view.getUint32(at + 42, true);
    const start = local + 30 + view.getUint16(local + 26, true) + view.getUint16(local + 28, true);
    const name = names.decode(new Uint8Array(view.buffer, at + 46, nameLength));
    files.set(name, archive.slice(start, start + size));
    at += 46 + (nameLength ?? 0) + (extraLength ?? 0) + (commentLength ?? 0);
  }
  return files;
}
