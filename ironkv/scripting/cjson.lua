return "cjson", {}
