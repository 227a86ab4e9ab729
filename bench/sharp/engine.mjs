// sharp as one engine of bench/imaging.py; the same orders and answers as bench/imaging_engines.py.
import { readFileSync, writeFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import sharp from 'sharp'

sharp.concurrency(1)
sharp.cache(false)

const task = JSON.parse(process.argv[2])
const source = readFileSync(task.source)
const beforeMb = memoryMb('VmRSS')
let result = Buffer.alloc(0)

function shrunk() {
  const size = { width: task.width_px, height: task.height_px, fit: 'fill' }
  return sharp(source).autoOrient().resize(size).flatten({ background: 'white' })
}

function encoded(image) {
  if (task.form === 'jpeg') return image.jpeg({ quality: 90, chromaSubsampling: '4:4:4' })
  if (task.form === 'webp') return image.webp({ lossless: true, effort: task.effort[0], quality: task.effort[1] })
  return image.png({ compressionLevel: 3 })
}

async function run() {
  const before = process.cpuUsage()
  result = await encoded(shrunk()).toBuffer()
  const { user, system } = process.cpuUsage(before)
  return (user + system) / 1000
}

function memoryMb(field) {
  try {
    const status = readFileSync('/proc/self/status', 'utf8')
    return Number(status.match(new RegExp(`${field}:\\s+(\\d+) kB`))[1]) / 1024
  } catch {
    return 0
  }
}

async function answer(order) {
  if (order === 'run') return run()
  if (order === 'peak') return memoryMb('VmHWM') - beforeMb
  writeFileSync(task.out, order === 'pixels' ? await shrunk().png({ compressionLevel: 1 }).toBuffer() : result)
  return task.out
}

for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(await answer(line.trim())))
}
