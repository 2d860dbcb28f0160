// wasi.mjs - runs a WebAssembly program with node's WASI: node tests/wasi.mjs program.wasm [argument ...]
import fs from 'node:fs'
import { WASI } from 'node:wasi'

const [program, ...rest] = process.argv.slice(2)
const wasi = new WASI({ version: 'preview1', args: [program, ...rest], env: {}, returnOnExit: true })
const { instance } = await WebAssembly.instantiate(fs.readFileSync(program), wasi.getImportObject())
process.exitCode = wasi.start(instance)
