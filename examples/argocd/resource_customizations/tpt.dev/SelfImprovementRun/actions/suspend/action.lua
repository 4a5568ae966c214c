-- The step in progress is stopped; what it has done stays.
obj.spec.suspend = true
return obj
