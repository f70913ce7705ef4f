/** What several lazily loaded parts share is one file, not a copy in each. */
module.exports = {
  optimization: {
    splitChunks: {
      chunks: 'async',
      minSize: 0,
      cacheGroups: {
        default: false,
        defaultVendors: false,
        shared: {
          test: /[\\/]lib[\\/].*\.js$/,
          minChunks: 2,
          // Without it each set of sharers would get a file of its own.
          name: 'shared'
        }
      }
    }
  }
};
