// What js-libp2p takes for granted and Node 20 does not have. Load it first: node --import ./shim.mjs peer.mjs
Promise.withResolvers ??= function () {
  let resolve, reject
  const promise = new Promise((a, b) => { resolve = a; reject = b })
  return { promise, resolve, reject }
}
